// A backend of the gateway, for a chat: it hears when people come and leave, answers what they say,
// and brings `@ben hello` to each tab of the user ben. Node 18 or later, nothing to install.
// ADIEU_BACKEND_SECRET as for the gateway (two of them while the secret is being replaced);
// ADIEU_API_KEY too, if the gateway has one.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const { ADIEU_BACKEND_SECRET = '', ADIEU_API_KEY, PORT = '3000' } = process.env;
const GATEWAY = process.env.GATEWAY ?? 'http://127.0.0.1:8080';
const MAX_BODY = 7 * 1024 * 1024; // a message of 1 MiB, as JSON

const secrets = ADIEU_BACKEND_SECRET.split(/[\s,]+/).filter(Boolean).map((secret) => {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  if (!secret.startsWith('whsec_') || key.length < 24) return undefined;
  return key;
});
if (secrets.length === 0 || secrets.includes(undefined)) {
  console.error('ADIEU_BACKEND_SECRET is missing or malformed: whsec_ and base64 is needed');
  process.exit(1);
}

/** Whether the gateway has signed this, not more than five minutes ago. */
function isSigned(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': given = '' } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(time)) <= 300)) return false; // a replay, or no number
  const signatures = given.split(' ').map((signature) => Buffer.from(signature));
  return secrets.some((key) => {
    const mac = createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest('base64');
    const own = Buffer.from(`v1,${mac}`);
    return signatures.some((one) => one.length === own.length && timingSafeEqual(one, own));
  });
}

/** Sends a text to all sessions of a user, from anywhere in the program. */
async function sendToUser(user, text) {
  const headers = { 'content-type': 'application/json' };
  if (ADIEU_API_KEY) headers.authorization = `Bearer ${ADIEU_API_KEY}`;
  // People choose their names: one stands in JSON, for in a URL ".." would be another path.
  const body = JSON.stringify({ to: [{ userId: user }], text });
  try {
    const answer = await fetch(`${GATEWAY}/api/messages`, { method: 'POST', headers, body });
    if (!answer.ok) console.error(`the gateway answered ${answer.status}: ${await answer.text()}`);
  } catch (error) {
    console.error(`the gateway cannot be reached at ${GATEWAY}: ${error.cause ?? error}`);
  }
}

/** What is answered to a client that wants to come in: a status and an object. */
function judge(data) {
  // In life: look at data.token, or at the cookies in data.headers. Who may not come in is answered
  // with a reason: [403, { reason: 'log in first' }]
  const user = new URLSearchParams(data.query ?? '').get('user');
  return [200, user ? { userId: user } : {}];
}

/** What is answered to an event: messages for its session, and an end of it. */
async function hear({ type, sessionid, userid, data }) {
  const shown = typeof data === 'string' ? data : JSON.stringify(data);
  console.log(type, sessionid, userid ?? '', shown);
  if (type !== 'message' || typeof data !== 'string') return {};
  const [, to, text] = /^@(\S+)\s+(.+)/s.exec(data) ?? [];
  if (to && userid) {
    await sendToUser(to, `${userid}: ${text}`);
    return {};
  }
  return { send: [{ text: `echo: ${data}` }] };
}

/** Answers to the last events, by id: what is told again is not done again. A database would keep
 * them for longer. */
const answers = new Map();
function hearOnce(event) {
  const known = answers.get(event.id);
  if (known) return known;
  const answer = hear(event);
  answers.set(event.id, answer);
  answer.catch(() => answers.delete(event.id)); // it is told again
  if (answers.size > 10_000) answers.delete(answers.keys().next().value);
  return answer;
}

/** A verdict on each event of a batch (`adieu serve --batch`), in their order. */
async function hearAll(events) {
  const verdicts = [];
  for (const event of events) {
    try {
      verdicts.push({ id: event.id, status: 200, ...(await hearOnce(event)) });
    } catch (error) {
      console.error(error);
      verdicts.push({ id: event.id, status: 500 });
    }
  }
  return verdicts;
}

/** The body, or nothing if it is too long: that is read too, so that the answer to it arrives. */
async function read(request) {
  let [parts, length] = [[], 0];
  for await (const part of request) {
    length += part.length;
    if (length <= MAX_BODY) parts.push(part);
    else parts = [];
  }
  return length <= MAX_BODY ? Buffer.concat(parts) : undefined;
}

const server = createServer(async (request, response) => {
  const end = (status, object) => {
    const text = Buffer.from(JSON.stringify(object));
    const headers = { 'content-type': 'application/json', 'content-length': text.length };
    response.writeHead(status, headers).end(text);
  };
  try {
    const body = await read(request);
    if (!body) return end(413, { error: 'too long' });
    // Not as {"reason": …}: that would be a verdict on the person who wants to come in.
    if (!isSigned(request.headers, body)) return end(401, { error: 'not signed by the gateway' });
    const event = JSON.parse(body);
    if (Array.isArray(event)) return end(200, await hearAll(event));
    const asked = event.type === 'connect' || event.type === 'resume';
    if (asked) return end(...judge(event.data));
    end(200, await hearOnce(event));
  } catch (error) {
    console.error(error);
    if (!response.headersSent) end(500, { error: 'see the log' });
  }
});
server.on('error', ({ message }) => {
  console.error(`cannot listen on port ${PORT}: ${message}; name another one in PORT and --backend`);
  process.exit(1);
});
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on ${server.address().port}`);
});
