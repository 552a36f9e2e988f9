import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, last, offered, opened, stored, types } from './helpers.js';

/** Of the entry that a page has in its storage. */
const lockOf = (page) => `adieu:${stored(page).name}`;

test('the lock is named in the entry and never queued for', async () => {
  const { world, page } = await opened();
  const name = lockOf(page);
  assert.deepEqual([...world.locks.held.keys()], [name]);
  page.refresh().open();
  await world.advance(10);
  assert.deepEqual([...world.locks.held.keys()], [name]);
  for (const { options } of world.locks.requests) assert.equal(options.ifAvailable, true);
});

test('a duplicated tab begins a session of its own, with an empty queue', async () => {
  const { world, gateway, page, socket } = await opened();
  gateway.acknowledges = false;
  socket.send('belongs to the first tab');
  await world.advance(10);
  const other = world.page({ storage: page.storage.copy() });
  const second = other.open();
  second.send('of the second tab');
  await world.advance(999);
  assert.equal(other.sockets.length, 0, 'the page before it might still be going');
  await world.advance(100);
  assert.deepEqual(offered(other.sockets[0]), ['first']);
  assert.deepEqual(types(second), ['open']);
  assert.equal(second.sessionId, 's2');
  assert.deepEqual(gateway.session.received, ['of the second tab']);
  assert.deepEqual(types(socket), ['open']);
  assert.deepEqual([...world.locks.held.keys()], [lockOf(page), lockOf(other)]);
  assert.notEqual(lockOf(page), lockOf(other));
});

test('a refreshed page waits for the lock of the page before', async () => {
  const { world, page } = await opened();
  page.hide();
  page.alive = false;
  // Released late.
  await world.advance(1);
  world.locks.held.set(lockOf(page), page);
  const next = world.page({ storage: page.storage });
  const again = next.open();
  await world.advance(300);
  assert.equal(next.sockets.length, 0);
  world.locks.releaseAll(page);
  await world.advance(60);
  assert.deepEqual(types(again), ['resumed']);
  assert.equal(again.sessionId, 's1');
});

test('a lock that is free in a moment is had in a moment', async () => {
  const { world, page } = await opened();
  page.hide();
  page.alive = false;
  await world.advance(1);
  world.locks.held.set(lockOf(page), page);
  const next = world.page({ storage: page.storage });
  const again = next.open();
  await world.advance(3);
  world.locks.releaseAll(page);
  await world.advance(10);
  assert.deepEqual(types(again), ['resumed']);
});

test('a clock that is set back does not have a tab wait for the lock for ever', async () => {
  const { world, page } = await opened();
  const copy = world.page({ storage: page.storage.copy() });
  const second = copy.open();
  await world.advance(500);
  world.clock.ahead -= 3_600_000;
  await world.advance(600);
  assert.deepEqual(types(second), ['open']);
});

test('leaving the page while the lock is asked for leaves nothing behind', async () => {
  const { world, page } = await opened();
  const copy = world.page({ storage: page.storage.copy() });
  const socket = copy.open();
  await world.advance(100);
  copy.hide(true);
  page.crash();
  await world.advance(5000);
  assert.equal(world.locks.held.size, 0);
  copy.show();
  await world.advance(100);
  assert.deepEqual(types(socket), ['resumed']);
  assert.deepEqual([...world.locks.held.keys()], [lockOf(page)]);
});

test('a page that is hidden while the lock is asked for keeps its session', async () => {
  const { world, page } = await opened();
  const copy = world.page({ storage: page.storage.copy() });
  const socket = copy.open();
  await world.advance(100);
  copy.hide();
  await world.advance(100);
  assert.equal(socket.sessionId, 's1');
});

test('a lock that is granted too late is given back', async () => {
  const { world, page } = await opened();
  const next = page.refresh();
  next.open();
  // The request is under way.
  await null;
  next.hide();
  await world.advance(100);
  assert.equal(world.locks.held.size, 0);
});

test('what asked for the lock before does not release it', async () => {
  const { world, page } = await opened();
  const copy = world.page({ storage: page.storage.copy() });
  copy.open();
  await world.advance(90);
  copy.hide();
  page.crash();
  copy.show();
  await world.advance(5000);
  assert.deepEqual([...world.locks.held], [[lockOf(copy), copy]]);
});

test('without locks the older tab is superseded and begins its own session, once', async () => {
  const { world, gateway, page, socket } = await opened(undefined, { locks: false });
  gateway.acknowledges = false;
  socket.send('whose?');
  await world.advance(10);
  const copy = world.page({ storage: page.storage.copy(), locks: false });
  const second = copy.open();
  await world.advance(100);
  assert.deepEqual(types(second), ['resumed']);
  assert.deepEqual(types(socket), ['open', 'ended', 'open']);
  const { reason, code, elsewhere, restarts, unacknowledged } = last(socket, 'ended').detail;
  assert.deepEqual(
    { reason, code, elsewhere, restarts, unacknowledged },
    { reason: 'superseded', code: 4002, elsewhere: true, restarts: true,
      unacknowledged: ['whose?'] },
  );
  assert.deepEqual(offered(page.socket), ['first'], 'the token is never tried again');
  assert.deepEqual([second.sessionId, socket.sessionId], ['s1', 's2']);

  world.page({ storage: page.storage.copy(), locks: false }).open();
  await world.advance(100);
  assert.equal(page.sockets.length, 2);
  assert.equal(events(socket, 'close').length, 1);
  assert.equal(last(socket, 'ended').detail.restarts, false);
  assert.equal(last(socket, 'ended').detail.elsewhere, true);
});

test('a restored page whose session another tab has begins a new one and says so', async () => {
  const { world, page, socket } = await opened();
  page.hide(true);
  await world.advance(1);
  const copy = world.page({ storage: page.storage.copy() });
  copy.open();
  await world.advance(100);
  page.show();
  await world.advance(2000);
  assert.deepEqual(types(socket), ['open', 'ended', 'open']);
  const { reason, elsewhere, restarts } = last(socket, 'ended').detail;
  assert.deepEqual([reason, elsewhere, restarts], ['superseded', true, true]);
});

test('two sockets for one URL in one page have a session each, also after a refresh', async () => {
  const { world, page, socket } = await opened();
  const second = page.open();
  await world.advance(10);
  assert.deepEqual([socket.sessionId, second.sessionId], ['s1', 's2']);
  const next = page.refresh();
  const again = [next.open(), next.open()];
  await world.advance(10);
  assert.deepEqual(again.map(types), [['resumed'], ['resumed']]);
  assert.deepEqual(again.map((one) => one.sessionId), ['s1', 's2']);
});

test('a socket that left gives its key to the next one', async () => {
  const { world, page, socket } = await opened();
  socket.close();
  const second = page.open();
  await world.advance(10);
  assert.deepEqual([...page.storage.entries.keys()], ['adieu:wss://a.test/live']);
  assert.equal(second.sessionId, 's2');
});

test('a lock manager that is forbidden is as good as none', async () => {
  const { world, page } = await opened();
  const next = page.refresh({ locks: false });
  const forbidden = async () => {
    throw new DOMException('', 'SecurityError');
  };
  next.window.navigator.locks = { request: forbidden };
  const again = next.open();
  await world.advance(100);
  assert.deepEqual(types(again), ['resumed']);
});
