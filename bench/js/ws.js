// npm ws with bufferutil. `node ws.js MODE [deflate]`; prints its port.
'use strict';

const { WebSocketServer } = require('ws');

const mode = process.argv[2];
const perMessageDeflate = process.argv[3] === 'deflate';
const options = { host: '127.0.0.1', port: 0, backlog: 4096, perMessageDeflate };
const server = new WebSocketServer(options, () => console.log(server.address().port));

function onMessage(socket, data, isBinary) {
  if (mode === 'storm') {
    for (const client of server.clients) client.close(1001);
  } else if (mode === 'fanout') {
    for (const client of server.clients) client.send(data, { binary: isBinary });
  } else {
    socket.send(data, { binary: isBinary });
  }
}

server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => onMessage(socket, data, isBinary));
});
