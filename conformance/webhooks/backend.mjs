// A backend that has the official library verify and parse what `adieu serve` sends, and counts by
// type. GET /counts says what it has counted. Run by `cargo xtask webhooks`.
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.SECRET);
const events = {}; // by type; a repeat counts once
const failures = [];
const ids = new Set();
let forged = 0;

/** The library has to refuse a changed body, another id and an old time: else it proves nothing. */
function refusesForgeries(body, headers) {
  const text = body.toString();
  const old = String(Number(headers['webhook-timestamp']) - 301);
  const forgeries = [
    [text.replace('1.0', '1.1'), headers],
    [text, { ...headers, 'webhook-id': 'another' }],
    [text, { ...headers, 'webhook-timestamp': old }],
  ];
  for (const [payload, fields] of forgeries) {
    try {
      webhook.verify(payload, fields);
    } catch {
      forged += 1;
      continue;
    }
    throw new Error('the library took a forgery');
  }
}

function hear(body, headers) {
  const event = webhook.verify(body, headers);
  const { id, type, specversion, data, data_base64: base64, datacontenttype: kind } = event;
  if (id !== headers['webhook-id'] || specversion !== '1.0') throw new Error(`what is ${id}?`);
  if (ids.has(id)) return {};
  ids.add(id);
  if (ids.size <= 100) refusesForgeries(body, headers);
  events[type] = (events[type] ?? 0) + 1;
  if (type === 'connect') return { userId: new URLSearchParams(data.query).get('user') };
  if (type !== 'message') return {};
  // The test knows both forms of what it said.
  if (kind === 'application/octet-stream') return { send: [{ binary: base64 }] };
  return { send: [{ text: data }] };
}

const server = createServer(async (request, response) => {
  const end = (status, said) => response.writeHead(status).end(JSON.stringify(said));
  if (request.method === 'GET') return end(200, { events, forged, failures });
  const parts = [];
  for await (const part of request) parts.push(part);
  try {
    end(200, hear(Buffer.concat(parts), request.headers));
  } catch (error) {
    failures.push(String(error));
    end(401, {});
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
