import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, last, opened, types } from './helpers.js';
import { World } from './world.js';

const NOT_FINAL = [1001, 1005, 1006, 1011, 3000, 4001];

for (const code of NOT_FINAL) {
  test(`a Close ${code} is followed by a resume`, async () => {
    const { world, gateway, socket } = await opened();
    gateway.last.close(code, '');
    await world.advance(1000);
    assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
    assert.equal(last(socket, 'interrupted').detail.code, code);
  });
}

test('the back-off doubles from 250 ms to a quarter of the window, with full jitter', async () => {
  const { world, page, socket } = await opened((world) => {
    world.gateway.window = 8000;
  });
  world.random = () => 0.999;
  world.up = false;
  world.cut();
  await world.advance(20_000);
  const delays = events(socket, 'interrupted').map(({ detail }) => Math.round(detail.retryIn));
  assert.deepEqual(delays.slice(0, 6), [250, 500, 999, 1998, 1998, 1998]);
  assert.ok(page.sockets.length > 8);
});

test('before a window was told, the cap is a quarter of 15 s', async () => {
  const world = new World();
  world.random = () => 0.999999;
  world.up = false;
  const socket = world.page().open();
  await world.advance(20_000);
  const delays = events(socket, 'interrupted').map(({ detail }) => Math.round(detail.retryIn));
  assert.deepEqual(delays.slice(0, 6), [250, 500, 1000, 2000, 3750, 3750]);
});

test('the back-off begins anew after a connection that lasted', async () => {
  const { world, gateway, socket } = await opened();
  for (let i = 0; i < 3; i++) {
    gateway.last.close(1001, '');
    await world.advance(2000);
  }
  await world.advance(5000);
  gateway.last.close(1001, '');
  await world.advance(2000);
  const delays = events(socket, 'interrupted').map(({ detail }) => detail.retryIn);
  assert.deepEqual(delays, [125, 250, 500, 125]);
});

test('after closing it comes back in exactly the time that was told', async () => {
  const { world, gateway, page, socket } = await opened();
  gateway.last.send({ type: 'closing', retryAfter: 4200 });
  gateway.last.close(1001, '');
  await world.advance(1);
  assert.equal(last(socket, 'interrupted').detail.retryIn, 4200);
  page.online();
  page.look('visible');
  await world.advance(4199);
  assert.equal(page.sockets.length, 1);
  await world.advance(1);
  assert.equal(page.sockets.length, 2);
  world.up = false;
  world.cut();
  await world.advance(2);
  assert.equal(last(socket, 'interrupted').detail.retryIn, 125, 'told once, used once');
});

for (const sign of ['online', 'visible']) {
  test(`${sign} ends the waiting at once`, async () => {
    const { world, page, socket } = await opened();
    world.cut();
    await world.advance(1);
    assert.equal(page.sockets.length, 1);
    if (sign === 'online') page.online();
    else page.look('visible');
    assert.equal(page.sockets.length, 2);
    await world.advance(10_000);
    assert.equal(page.sockets.length, 2);
    assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
  });

  test(`${sign} has an open connection probed and given up after 5 s`, async () => {
    const { world, gateway, page } = await opened();
    gateway.answersHeartbeats = false;
    if (sign === 'online') page.online();
    else page.look('visible');
    await world.advance(4999);
    assert.deepEqual(page.socket.sent, [{ type: 'heartbeat' }]);
    assert.equal(page.sockets.length, 1);
    await world.advance(200);
    assert.equal(page.sockets.length, 2);
    assert.equal(page.sockets[0].closedWith.code, 4001);
  });
}

test('any message answers a probe', async () => {
  const { world, gateway, page, session } = await opened();
  gateway.answersHeartbeats = false;
  page.online();
  gateway.push(session, 'alive');
  await world.advance(20_000);
  assert.equal(page.sockets.length, 1);
});

test('heartbeats are sent while the page is visible', async () => {
  const { world, page } = await opened((world) => {
    world.gateway.heartbeat = 20_000;
  });
  const beats = () => page.socket.sent.filter(({ type }) => type === 'heartbeat').length;
  await world.advance(60_000);
  assert.equal(beats(), 3);
  page.look('hidden');
  await world.advance(60_000);
  assert.equal(beats(), 3);
  page.look('visible');
  assert.equal(beats(), 4);
  await world.advance(20_000);
  assert.equal(beats(), 5);
  assert.equal(page.sockets.length, 1);
});

test('a heartbeat without an answer within 10 s ends the connection', async () => {
  const { world, gateway, page, socket } = await opened((world) => {
    world.gateway.heartbeat = 20_000;
  });
  gateway.answersHeartbeats = false;
  await world.advance(29_980);
  assert.equal(page.sockets.length, 1);
  await world.advance(200);
  assert.equal(page.sockets.length, 2);
  assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
});

test('a heartbeat whose page is hidden meanwhile proves nothing', async () => {
  const { world, gateway, page } = await opened((world) => {
    world.gateway.heartbeat = 20_000;
  });
  gateway.answersHeartbeats = false;
  await world.advance(21_000);
  page.look('hidden');
  await world.advance(60_000);
  assert.equal(page.sockets.length, 1);
});

test('a gateway that says nothing is given up after 10 s', async () => {
  const world = new World();
  world.gateway.accept = () => ({ receive() {}, closed() {}, ended() {} });
  const page = world.page();
  page.open();
  await world.advance(9_999);
  assert.equal(page.sockets.length, 1);
  await world.advance(500);
  assert.equal(page.sockets.length, 2);
});

test('a page that comes out of the cache reconnects, whatever its socket says', async () => {
  const { world, page, socket, session } = await opened();
  page.hide(true);
  assert.deepEqual(page.socket.closedWith, { code: 4001, reason: 'pagehide' });
  await world.advance(60_000);
  assert.equal(world.locks.held.size, 0);
  assert.equal(page.sockets.length, 1);
  assert.equal(session.over, false);
  page.show();
  await world.advance(10);
  assert.deepEqual(types(socket), ['open', 'resumed']);
  assert.deepEqual(last(socket, 'resumed').detail, { generation: 2, afterPageLoad: false });
  assert.equal(world.locks.held.size, 1);
});

test('a page that was shown without having been hidden reconnects too', async () => {
  const { world, page, socket } = await opened();
  page.show();
  await world.advance(10);
  assert.equal(page.sockets.length, 2);
  assert.deepEqual(types(socket), ['open', 'resumed']);
});

test('a restored page goes on where the page after it stopped', async () => {
  const { world, gateway, page, socket, session } = await opened();
  page.hide(true);
  const other = world.page({ storage: page.storage });
  const second = other.open();
  await world.advance(10);
  second.send('from the other page');
  gateway.push(session, 'to the other page');
  await world.advance(10);
  other.hide(true);
  page.show();
  await world.advance(10);
  socket.send('from the first page');
  await world.advance(10);
  assert.deepEqual(types(socket), ['open', 'resumed']);
  assert.deepEqual(session.received, ['from the other page', 'from the first page']);
  assert.equal(page.socket.protocols[1], 'adieu.resume.s1_2.1');
});

test('a restored page whose tab has another session by now says so', async () => {
  const { world, gateway, page, socket } = await opened();
  page.hide(true);
  gateway.session.over = true;
  const other = world.page({ storage: page.storage });
  other.open();
  await world.advance(10);
  other.hide(true);
  page.show();
  await world.advance(10);
  assert.deepEqual(types(socket), ['open', 'ended', 'resumed']);
  const { sessionId, reason, restarts } = last(socket, 'ended').detail;
  assert.deepEqual([sessionId, reason, restarts], ['s1', 'replaced', true]);
  assert.equal(socket.sessionId, 's2');
});

test('what is owed is acknowledged and stored before the page goes', async () => {
  const { world, gateway, page, socket, session } = await opened();
  gateway.push(session, 'one');
  await world.advance(1);
  socket.send('last words');
  page.hide();
  await world.advance(10);
  assert.deepEqual(session.received, ['last words']);
  assert.equal(session.acked, 1);
  assert.match([...page.storage.entries.values()][0], /last words/);
});
