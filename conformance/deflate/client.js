// A client that echoes: `node client.js ws|undici URL`, `bun client.js bun URL`. Behind the URL, for
// ws, its options for permessage-deflate as JSON. It prints its version, and how it ended.

import { echo } from './tally.js';

const [name, url, options] = process.argv.slice(2);

async function open() {
  if (name === 'bun') return [new WebSocket(url), Bun.version];
  const version = (await import(`${name}/package.json`, { with: { type: 'json' } })).default.version;
  const { WebSocket: Client } = await import(name);
  const given = options && { perMessageDeflate: JSON.parse(options) };
  return [given ? new Client(url, given) : new Client(url), version];
}

const [socket, version] = await open();
console.log(version);
echo(socket);
socket.onerror = (event) => console.error(event.message ?? event.error ?? 'an error');
socket.onclose = ({ code, reason, wasClean }) => console.log(JSON.stringify({ code, reason, wasClean }));
