// npm ws. `node server.js PORT` has no shutdown, like most example programs;
// `node server.js PORT hand` has what a careful user writes;
// `node server.js PORT compress` has permessage-deflate switched on, with the defaults of ws.
'use strict';

const { WebSocketServer } = require('ws');

const MESSAGE = 16 * 1024;
const CAP_MS = 10_000;

const [port, mode] = process.argv.slice(2);
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(port),
  backlog: 4096,
  perMessageDeflate: mode === 'compress',
});

function send(socket, bytes) {
  for (let left = bytes; left > 0; left -= MESSAGE) {
    socket.send(Buffer.alloc(Math.min(left, MESSAGE), 0x55));
  }
}

function asked(socket, text) {
  const [verb, first, ...rest] = text.slice('adieu-check:'.length).split(' ');
  if (verb === 'send') send(socket, Number(first));
  else if (verb === 'close') socket.close(Number(first), rest.join(' '));
  else if (verb === 'panic') throw new Error('as the check asked');
  else socket.send(text);
}

server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    if (!isBinary && data.subarray(0, 12).toString() === 'adieu-check:') {
      asked(socket, data.toString());
    } else {
      socket.send(data, { binary: isBinary });
    }
  });
});

if (mode === 'hand') {
  process.on('SIGTERM', () => {
    server.close();
    const leave = () => {
      if (server.clients.size === 0) process.exit(0);
    };
    for (const socket of server.clients) {
      socket.on('close', leave);
      socket.close(1001);
    }
    leave();
    setTimeout(() => {
      for (const socket of server.clients) socket.terminate();
      process.exit(0);
    }, CAP_MS);
  });
}
