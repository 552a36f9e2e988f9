// A backend of the gateway: who is here, who left and why, and an echo. Node 18 or later, nothing
// to install. ADIEU_BACKEND_SECRET as for the gateway; ADIEU_API_KEY too, if that has one.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const { ADIEU_BACKEND_SECRET = '', ADIEU_API_KEY, PORT = '3000' } = process.env;
const GATEWAY = process.env.GATEWAY ?? 'http://127.0.0.1:8080';
const secret = Buffer.from(ADIEU_BACKEND_SECRET.replace('whsec_', ''), 'base64');

function isSigned(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': given } = headers;
  if (Math.abs(Date.now() / 1000 - time) > 300) return false; // a replay
  const mac = createHmac('sha256', secret).update(`${id}.${time}.`).update(body).digest('base64');
  const [a, b] = [Buffer.from(`v1,${mac}`), Buffer.from(given ?? '')];
  return a.length === b.length && timingSafeEqual(a, b);
}

function send(session, text) {
  const headers = { 'content-type': 'text/plain', authorization: `Bearer ${ADIEU_API_KEY}` };
  const url = `${GATEWAY}/api/sessions/${session}/messages`;
  return fetch(url, { method: 'POST', headers, body: text });
}

const server = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  if (!isSigned(request.headers, body)) return response.writeHead(401).end();
  const { 'ce-type': type, 'ce-sessionid': session, 'ce-userid': user } = request.headers;
  if (type === 'connect') {
    const name = new URLSearchParams(JSON.parse(body).query ?? '').get('user'); // a login, in life
    return response.writeHead(200).end(JSON.stringify({ userId: name ?? undefined }));
  }
  console.log(type, session, user ?? '', body.toString()); // a repeat has the same ce-id
  if (type === 'message') await send(session, `echo: ${body}`);
  response.writeHead(204).end();
});
server.listen(PORT, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
