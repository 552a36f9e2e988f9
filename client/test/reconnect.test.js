import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, last, offered, opened, said, stored, types } from './helpers.js';
import { World } from './world.js';

const NOT_FINAL = [1001, 1005, 1006, 1011, 1012, 1013, 3000, 4001, 4005];

for (const code of NOT_FINAL) {
  test(`a Close ${code} is followed by a resume`, async () => {
    const { world, gateway, socket } = await opened();
    gateway.last.close(code, '');
    await world.advance(1000);
    assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
    assert.equal(last(socket, 'interrupted').detail.code, code);
  });
}

const delays = (socket) =>
  events(socket, 'interrupted').map(({ detail }) => Math.round(detail.retryIn));

test('while the gateway keeps the session, the back-off is a quarter of it at most', async () => {
  const { world, socket } = await opened((world) => {
    world.gateway.window = 8000;
  });
  world.random = () => 0.99999;
  world.up = false;
  world.cut();
  await world.advance(7000);
  assert.deepEqual(delays(socket), [250, 500, 1000, 2000, 2000, 2000]);
});

test('after that it grows to 60 s', async () => {
  const { world, socket } = await opened((world) => {
    world.gateway.window = 8000;
  });
  world.random = () => 0.9999999;
  world.up = false;
  world.cut();
  await world.advance(300_000);
  const after = delays(socket).slice(6);
  assert.deepEqual(after.slice(0, 7), [2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
});

test('before a window was told, it is reckoned with 15 s', async () => {
  const world = new World();
  world.random = () => 0.999999;
  world.up = false;
  const socket = world.page().open();
  await world.advance(13_000);
  assert.deepEqual(delays(socket), [250, 500, 1000, 2000, 3750, 3750, 3750]);
});

for (const window of [0, 10, 200]) {
  test(`it waits for 100 ms at least, also with a window of ${window} ms`, async () => {
    const { world, page, socket } = await opened((world) => {
      world.gateway.window = window;
    });
    world.random = () => 0;
    world.up = false;
    world.cut();
    await world.advance(1000);
    assert.deepEqual([...new Set(delays(socket))], [100]);
    assert.ok(page.sockets.length <= 11);
  });
}

test('a client of a gateway without windows leaves it alone more and more, too', async () => {
  const { world, page } = await opened((world) => {
    world.gateway.window = 0;
  });
  world.up = false;
  world.cut();
  await world.advance(600_000);
  assert.ok(page.sockets.length < 40, `${page.sockets.length} connections in 10 minutes`);
});

test('each lost connection has a window of its own', async () => {
  const { world, gateway, socket } = await opened((world) => {
    world.gateway.window = 4000;
  });
  world.random = () => 0.99999;
  for (let i = 0; i < 8; i++) {
    gateway.last.close(1001, '');
    await world.advance(3000);
  }
  assert.deepEqual(delays(socket), [250, 500, 1000, 1000, 1000, 1000, 1000, 1000]);
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
  assert.deepEqual(delays(socket), [175, 300, 550, 175]);
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
  assert.equal(last(socket, 'interrupted').detail.retryIn, 175, 'told once, used once');
});

test('1013 is tried again, at the time that was told', async () => {
  const { world, gateway, socket } = await opened();
  gateway.last.send({ type: 'closing', retryAfter: 3000 });
  gateway.last.close(1013, 'try again later');
  await world.advance(3100);
  assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
  const { code, reason, retryIn } = last(socket, 'interrupted').detail;
  assert.deepEqual([code, reason, retryIn], [1013, 'try again later', 3000]);
});

for (const retryAfter of [undefined, null, -5, 0, 'soon']) {
  test(`a time that is none is not used: ${retryAfter}`, async () => {
    const { world, gateway, socket } = await opened();
    gateway.last.send({ type: 'closing', retryAfter });
    gateway.last.close(1013, '');
    await world.advance(1);
    assert.equal(last(socket, 'interrupted').detail.retryIn, 175);
  });
}

for (const sign of ['online', 'visible']) {
  const tell = (page) => (sign === 'online' ? page.online() : page.look('visible'));

  test(`${sign} has a connection that hangs begun again`, async () => {
    const { world, gateway, page, socket } = await opened();
    world.swallows = true;
    world.cut();
    await world.advance(1400);
    world.swallows = false;
    assert.equal(page.sockets.length, 2, 'its first packet is lost');
    tell(page);
    await world.advance(10);
    assert.equal(page.sockets.length, 3);
    assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
    assert.equal(gateway.sessions.size, 1);
  });

  test(`${sign} leaves a connection alone that has just begun`, async () => {
    const { world, page } = await opened();
    world.swallows = true;
    world.cut();
    await world.advance(1000);
    assert.equal(page.sockets.length, 2);
    tell(page);
    await world.advance(0);
    assert.equal(page.sockets.length, 2);
  });

  test(`${sign} ends the waiting at once`, async () => {
    const { world, page, socket } = await opened();
    world.cut();
    await world.advance(1);
    assert.equal(page.sockets.length, 1);
    if (sign === 'online') page.online();
    else page.look('visible');
    await world.advance(49);
    assert.equal(page.sockets.length, 1, 'spread over 100 ms');
    await world.advance(1);
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
    assert.deepEqual(said(page.socket), [{ type: 'heartbeat' }]);
    assert.equal(page.sockets.length, 1);
    await world.advance(200);
    assert.equal(page.sockets.length, 2);
    assert.equal(page.sockets[0].closedWith.code, 4005, 'lost, not hidden');
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
  assert.deepEqual(offered(page.socket), ['adieu.resume.s1_2.1.t000000-.1']);
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
  assert.equal(stored(page).received, 1);
  assert.match([...page.storage.entries.values()][1], /last words/);
});

test('a page that was hidden for long takes the session over at once', async () => {
  const { world, gateway, page, socket, session } = await opened();
  page.look('hidden');
  await world.advance(61_000);
  world.links[0].deliver = () => {};
  gateway.push(session, 'said into a dead connection');
  page.look('visible');
  await world.advance(10);
  assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed', 'message']);
  const { code, reason, retryIn } = last(socket, 'interrupted').detail;
  assert.deepEqual([code, reason, retryIn], [1006, 'hidden for long', 0]);
  assert.equal(page.sockets[0].closedWith.code, 4005);
});

test('a page that was hidden for long and heard something has a good connection', async () => {
  const { world, gateway, page, socket, session } = await opened();
  page.look('hidden');
  await world.advance(50_000);
  gateway.push(session, 'alive');
  await world.advance(50_000);
  page.look('visible');
  await world.advance(10);
  assert.deepEqual(types(socket), ['open', 'message']);
});

test('a page that was hidden for a moment only asks', async () => {
  const { world, page, socket } = await opened();
  await world.advance(100_000);
  page.look('hidden');
  await world.advance(59_000);
  page.look('visible');
  await world.advance(1000);
  assert.deepEqual(types(socket), ['open']);
  assert.equal(page.sockets.length, 1);
});

test('after an alert() the answer that waits is read before the time-out is believed', async () => {
  const { world, page, socket } = await opened((world) => {
    world.gateway.heartbeat = 20_000;
  });
  await world.advance(19_985);
  page.online();
  assert.equal(said(page.socket).length, 1);
  await world.advance(2);
  // The answer is on its way into the page, behind the timer.
  world.latency = () => 6000;
  await world.clock.block(7000);
  await world.advance(1000);
  assert.deepEqual(types(socket), ['open']);
  assert.equal(page.sockets.length, 1);
});

test('a tab whose timers are always late looks a second time, and no third', async () => {
  const { world, gateway, page, socket } = await opened();
  gateway.answersHeartbeats = false;
  page.online();
  await world.clock.block(7000);
  await world.clock.block(3000);
  await world.advance(100);
  assert.deepEqual(types(socket), ['open', 'interrupted']);
});

test('after an alert() without an answer the connection is given up', async () => {
  const { world, gateway, page, socket } = await opened();
  gateway.answersHeartbeats = false;
  page.online();
  await world.clock.block(7000);
  await world.advance(999);
  assert.equal(page.sockets.length, 1);
  await world.advance(1000);
  assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
});
