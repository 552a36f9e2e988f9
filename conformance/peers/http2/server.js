// npm ws on the HTTP/2 of Node (RFC 8441). ws has no server for HTTP/2: its WebSocket is given the
// stream, which is the way that is shown where people ask for it.
// `node server.js PORT CERT KEY PAGE` serves the page at `/`, WebSockets that the server closes at
// `/ws/WHAT/ROUND`, and the convention of docs/check.md at `/`.
'use strict';

const fs = require('node:fs');
const http2 = require('node:http2');
const path = require('node:path');

const WebSocket = require(path.join(__dirname, '../ws/node_modules/ws'));

const CODE = 4000;
const MESSAGE = 16 * 1024;
const PIECE = Buffer.alloc(64 * 1024);
const PIECES = 160;
const WITH_THE_200 = 20;
const OF_UPLOAD = 16;
// A message that has not left for so long waits for the window of the browser.
const HELD_MS = 100;

const [port, cert, key, page] = process.argv.slice(2);

// Answers of `/held/ROUND` that are waited for, and those that are known.
const waiting = new Map();
const known = new Map();

function tell(round, words) {
  known.set(round, words);
  waiting.get(round)?.(words);
}

function sendMuch(socket, round, done) {
  let left = PIECES;
  const late = setTimeout(() => tell(round, 'the server waits'), HELD_MS);
  const gone = () => {
    left -= 1;
    if (left > 0) return;
    clearTimeout(late);
    if (!known.has(round)) tell(round, 'all has left');
    done();
  };
  for (let n = 0; n < PIECES; n += 1) socket.send(PIECE, gone);
}

function closesFirst(socket, what, round) {
  const close = () => socket.close(CODE, `${what} ${round}`);
  let heard = 0;
  socket.on('message', () => {
    heard += 1;
    if (what === 'plain' && heard === 1) close();
    if (what === 'upload' && heard === OF_UPLOAD) close();
  });
  if (what === 'at-once') close();
  if (what === 'flight') {
    for (let n = 0; n < WITH_THE_200; n += 1) socket.send(String(n));
    close();
  }
  if (what === 'window') sendMuch(socket, round, close);
}

function convention(socket) {
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString();
    if (!text.startsWith('adieu-check:')) return socket.send(data, { binary: isBinary });
    const [verb, first, ...rest] = text.slice('adieu-check:'.length).split(' ');
    if (verb === 'close') return socket.close(Number(first), rest.join(' '));
    if (verb === 'panic') throw new Error('as the check asked');
    for (let left = Number(first); left > 0; left -= MESSAGE) {
      socket.send(Buffer.alloc(Math.min(left, MESSAGE), 0x55));
    }
    return undefined;
  });
}

function opens(stream, where) {
  stream.respond({ ':status': 200 });
  const socket = new WebSocket(null, undefined, { autoPong: true, closeTimeout: 30_000 });
  socket.on('error', () => {});
  socket.setSocket(stream, Buffer.alloc(0), {
    allowSynchronousEvents: true,
    maxPayload: 100 * 1024 * 1024,
    skipUTF8Validation: false,
  });
  const [, kind, what, round] = where.split('/');
  if (kind === 'ws') closesFirst(socket, what, Number(round));
  else convention(socket);
}

function answers(stream, where) {
  const [, kind, round] = where.split('/');
  const end = (text) => {
    stream.respond({ ':status': 200, 'content-type': 'text/html' });
    stream.end(text);
  };
  if (kind !== 'held') return end(fs.readFileSync(page));
  const words = known.get(Number(round));
  if (words) return end(words);
  return waiting.set(Number(round), end);
}

const settings = { enableConnectProtocol: true };
const server = cert
  ? http2.createSecureServer({
      cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: false, settings,
    })
  : http2.createServer({ settings });
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  const websocket = headers[':method'] === 'CONNECT' && headers[':protocol'] === 'websocket';
  if (websocket) opens(stream, headers[':path']);
  else answers(stream, headers[':path']);
});
server.on('sessionError', () => {});
server.listen(Number(port), '127.0.0.1');
