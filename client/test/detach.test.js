// Letting go of a session without ending it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { last, offered, opened, received, stored, types } from './helpers.js';
import { World } from './world.js';

test('detach leaves the session, and the next socket of the page goes on with it', async () => {
  const { world, gateway, page, socket, session } = await opened();
  gateway.push(session, 'one');
  await world.advance(10);
  socket.send('last words');
  socket.detach();
  const next = page.open();
  assert.equal(next.sessionId, 's1', 'in the same turn');
  await world.advance(200);
  assert.deepEqual(page.sockets[0].closedWith, { code: 4001, reason: 'detached' });
  assert.deepEqual(types(next), ['resumed']);
  assert.deepEqual(offered(page.socket), ['adieu.resume.s1_1.1.t000000-.0']);
  assert.deepEqual(session.received, ['last words']);
  assert.equal(gateway.sessions.size, 1);
  assert.equal(world.locks.held.size, 1);
});

test('a socket that is detached is closed, says nothing and does nothing any more', async () => {
  const { world, gateway, page, socket, session } = await opened();
  socket.detach();
  socket.detach();
  socket.close();
  assert.equal(socket.readyState, socket.CLOSED);
  assert.throws(() => socket.send('late'), { name: 'InvalidStateError' });
  gateway.push(session, 'late');
  page.online();
  page.look('hidden');
  page.look('visible');
  page.hide(true);
  page.show();
  await world.advance(60_000);
  assert.deepEqual(types(socket), ['open']);
  assert.equal(page.sockets.length, 1);
  assert.equal(world.locks.held.size, 0);
  assert.equal(session.over, false);
});

test('detached within a handler, the message counts as received', async () => {
  const { world, gateway, page, socket, session } = await opened();
  socket.onmessage = () => socket.detach();
  gateway.push(session, 'one');
  await world.advance(10);
  const next = page.open();
  await world.advance(10);
  assert.deepEqual([received(socket), received(next)], [['one'], []]);
});

test('mounted, unmounted and mounted in one turn: one connection', async () => {
  const world = new World();
  const page = world.page();
  page.open().detach();
  assert.equal(page.storage.entries.size, 0);
  const socket = page.open();
  await world.advance(1000);
  assert.equal(page.sockets.length, 1);
  assert.deepEqual(types(socket), ['open']);
});

test('what was sent before the socket was detached goes with the session', async () => {
  const world = new World();
  const page = world.page();
  const first = page.open();
  first.send('early');
  first.detach();
  const socket = page.open();
  socket.send('later');
  await world.advance(1000);
  assert.deepEqual(world.gateway.session.received, ['early', 'later']);
});

for (const moment of ['at once', 'while it asks for auth']) {
  test(`close before the first connection was begun, ${moment}: nothing is touched`, async () => {
    const { world, gateway, page, session } = await opened();
    gateway.acknowledges = false;
    page.sockets.length = 0;
    const old = page.refresh();
    old.storage.entries.forEach((value, key) => assert.match(key, /^adieu:/));
    const auth = () => new Promise(() => {});
    const socket = old.open(undefined, { auth });
    if (moment !== 'at once') await world.advance(100);
    const before = [...old.storage.entries];
    socket.send('not stored');
    socket.close();
    assert.deepEqual(types(socket), ['ended', 'close']);
    const { sessionId, reason, unacknowledged } = last(socket, 'ended').detail;
    assert.deepEqual([sessionId, reason, unacknowledged], ['s1', 'closed', ['not stored']]);
    assert.deepEqual([...old.storage.entries], before);
    const next = old.open();
    await world.advance(10);
    assert.deepEqual(types(next), ['resumed']);
    assert.equal(session.over, false);
  });
}

test('goodbye before the first connection was begun is a goodbye', async () => {
  const { world, page, session } = await opened();
  const socket = page.refresh().open();
  socket.goodbye();
  await world.advance(100);
  assert.equal(session.over, true);
  assert.equal(last(socket, 'ended').detail.reason, 'goodbye');
});

test('goodbye of a page in the cache that never began to connect leaves nothing', async () => {
  const { page } = await opened();
  const next = page.refresh();
  const socket = next.open();
  next.hide(true);
  socket.goodbye();
  assert.deepEqual(types(socket), ['ended', 'close']);
  assert.equal(next.storage.entries.size, 0);
});

test('a goodbye that is under way goes on when the socket is detached', async () => {
  const { world, socket, session } = await opened();
  socket.goodbye();
  socket.detach();
  await world.advance(100);
  assert.equal(session.over, true);
  assert.deepEqual(types(socket), ['open', 'ended', 'close']);
});

test('of two sockets for one URL the detached one gives its own session away', async () => {
  const { world, page, socket } = await opened();
  const second = page.open();
  await world.advance(10);
  assert.equal(second.sessionId, 's2');
  socket.detach();
  const third = page.open();
  await world.advance(100);
  assert.equal(third.sessionId, 's1');
  assert.equal(stored(page, 'adieu:wss://a.test/live+').sessionId, 's2');
});
