// Bun's own WebSocket server (uWebSockets inside). `bun bun.js MODE [COMPRESSOR]`; prints its port.
const mode = process.argv[2];
// Its name in Bun: shared, 32KB.
const compressor = process.argv[3];
const sockets = new Set();

const websocket = {
  // As large as the largest message that is measured, and some more.
  maxPayloadLength: 2 * 1024 * 1024,
  backpressureLimit: 64 * 1024 * 1024,
  idleTimeout: 120,
  message(socket, message) {
    socket.send(message);
  },
};

if (compressor) {
  websocket.perMessageDeflate = { compress: compressor, decompress: compressor };
  // Bun compresses what it is told to.
  websocket.message = (socket, message) => socket.send(message, true);
}

if (mode === 'storm') {
  websocket.open = (socket) => sockets.add(socket);
  websocket.close = (socket) => sockets.delete(socket);
  websocket.message = () => {
    for (const socket of sockets) socket.close(1001);
  };
} else if (mode === 'fanout') {
  websocket.open = (socket) => socket.subscribe('all');
  websocket.message = (_socket, message) => server.publish('all', message);
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response('WebSocket only', { status: 426 });
  },
  websocket,
});
console.log(server.port);
