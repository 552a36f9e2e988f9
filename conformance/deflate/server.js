// A server that echoes: `node server.js ws OPTIONS`, `bun server.js bun OPTIONS`; the options for
// permessage-deflate as JSON. It prints its version, and its port.

import { ASKS, Tally } from './tally.js';

const [name, options] = process.argv.slice(2);
const perMessageDeflate = JSON.parse(options);
const HOST = '127.0.0.1';
const OFFERED = 'sec-websocket-extensions';
/** No message is as large, in bytes. */
const LARGEST = 1024 * 1024;

/** Each fourth message goes in three frames: a message is compressed as a whole, whatever its frames. */
function sendBack(socket, data, binary, number) {
  if (number % 4 > 0) {
    socket.send(data, { binary });
    return;
  }
  const [first, second] = [Math.floor(data.length / 3), Math.floor(data.length / 2)];
  socket.send(data.subarray(0, first), { binary, fin: false });
  socket.send(data.subarray(first, second), { binary, fin: false });
  socket.send(data.subarray(second), { binary, fin: true });
}

async function ws() {
  const { WebSocketServer } = await import('ws');
  const { default: about } = await import('ws/package.json', { with: { type: 'json' } });
  const server = new WebSocketServer({ host: HOST, port: 0, perMessageDeflate });
  server.on('connection', (socket, request) => {
    const tally = new Tally();
    socket.on('error', (error) => console.error(error.message));
    socket.on('message', (data, isBinary) => {
      if (!isBinary && data.toString() === ASKS) {
        socket.send(tally.text(socket.extensions, request.headers[OFFERED]));
        return;
      }
      tally.add(data);
      sendBack(socket, data, isBinary, tally.messages);
    });
  });
  server.on('listening', () => console.log(`${about.version}\n${server.address().port}`));
}

function bun() {
  const server = Bun.serve({
    hostname: HOST,
    port: 0,
    fetch: (request, server) => {
      const data = { tally: new Tally(), offered: request.headers.get(OFFERED) };
      const upgraded = server.upgrade(request, { data });
      return upgraded ? undefined : new Response('WebSocket only', { status: 426 });
    },
    websocket: {
      perMessageDeflate,
      maxPayloadLength: LARGEST,
      message(socket, message) {
        const { tally, offered } = socket.data;
        if (message === ASKS) {
          // It does not tell what was agreed on.
          socket.send(tally.text('', offered));
          return;
        }
        tally.add(message);
        socket.send(message, true);
      },
    },
  });
  console.log(`${Bun.version}\n${server.port}`);
}

await { ws, bun }[name]();
