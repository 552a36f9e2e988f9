import assert from 'node:assert/strict';
import { test } from 'node:test';
import { opened, types } from './helpers.js';
import { World } from './world.js';

test('it has the shape of a WebSocket', async () => {
  const world = new World();
  const page = world.page();
  const socket = page.open('https://a.test/live');
  const { AdieuSocket } = page;
  assert.deepEqual(
    [AdieuSocket.CONNECTING, AdieuSocket.OPEN, AdieuSocket.CLOSING, AdieuSocket.CLOSED],
    [0, 1, 2, 3],
  );
  assert.equal(socket.url, 'wss://a.test/live');
  assert.equal(socket.readyState, socket.CONNECTING);
  assert.equal(socket.protocol, '');
  assert.equal(socket.extensions, '');
  assert.equal(socket.bufferedAmount, 0);
  assert.equal(socket.sessionId, '');
  assert.equal(socket.binaryType, 'arraybuffer');
  socket.binaryType = 'arraybuffer';
  assert.throws(() => (socket.binaryType = 'blob'), { name: 'NotSupportedError' });
  assert.equal(socket.onopen, null);
});

test('handler attributes are called, replaced and taken away', async () => {
  const { world, gateway, socket, session } = await opened();
  const calls = [];
  const first = () => calls.push('first');
  socket.onmessage = first;
  assert.equal(socket.onmessage, first);
  socket.onmessage = ({ data }) => calls.push(`second ${data}`);
  gateway.push(session, 'one');
  await world.advance(10);
  socket.onmessage = null;
  gateway.push(session, 'two');
  await world.advance(10);
  socket.onmessage = 'no function';
  assert.equal(socket.onmessage, null);
  assert.deepEqual(calls, ['second one']);
});

test('a URL that is none is refused at once', () => {
  const { AdieuSocket } = new World().page();
  for (const url of ['ftp://a.test/', 'wss://', 'data:,x']) {
    assert.throws(() => new AdieuSocket(url), { name: 'SyntaxError' });
  }
});

test('send takes no other types', async () => {
  const { socket } = await opened();
  for (const data of [5, null, undefined, {}, new Blob(['x'])]) {
    assert.throws(() => socket.send(data), { name: 'TypeError' });
  }
});

test('what is sent is copied', async () => {
  const { world, socket, session } = await opened();
  const bytes = new Uint8Array([1]);
  socket.send(bytes);
  bytes[0] = 2;
  await world.advance(10);
  assert.deepEqual([...session.received[0]], [1]);
});

test('large binary messages', async () => {
  const { world, socket, session } = await opened();
  const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => i);
  socket.send(bytes);
  await world.advance(10);
  assert.ok(session.received[0].equals(bytes));
});

test('nothing happens before the one who opened it can listen', async () => {
  const { socket } = await opened();
  assert.deepEqual(types(socket), ['open']);
});
