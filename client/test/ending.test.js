import assert from 'node:assert/strict';
import { test } from 'node:test';
import { last, offered, opened, types } from './helpers.js';
import { World } from './world.js';

const ended = (socket) => {
  const { reason, code, text, elsewhere, restarts, unacknowledged } = last(socket, 'ended').detail;
  return { reason, code, text, elsewhere, restarts, unacknowledged };
};

const isOver = async ({ world, page, socket }, connections = 1) => {
  assert.equal(socket.readyState, socket.CLOSED);
  assert.equal(page.storage.entries.size, 0);
  page.online();
  page.look('visible');
  page.hide(true);
  page.show();
  await world.advance(120_000);
  assert.equal(page.sockets.length, connections, 'no connection is tried any more');
  assert.equal(world.locks.held.size, 0);
  assert.throws(() => socket.send('late'), { name: 'InvalidStateError' });
  assert.equal(types(socket).filter((type) => type === 'close').length, 1);
};

test('goodbye: what was sent before is committed, then the session is over', async () => {
  const all = await opened((world) => {
    world.gateway.acknowledges = false;
  });
  const { world, socket, session } = all;
  socket.send('last words');
  socket.goodbye();
  assert.equal(socket.readyState, socket.CLOSING);
  await world.advance(10);
  assert.deepEqual(session.received, ['last words']);
  assert.equal(session.over, true);
  assert.deepEqual(ended(socket), {
    reason: 'goodbye', code: 1000, text: '', elsewhere: false, restarts: false, unacknowledged: [],
  });
  assert.deepEqual(types(socket), ['open', 'ended', 'close']);
  assert.equal(last(socket, 'close').wasClean, true);
  await isOver(all);
});

test('goodbye without a connection is said as soon as there is one', async () => {
  const { world, page, socket, session } = await opened();
  world.up = false;
  world.cut();
  await world.advance(2000);
  world.up = true;
  socket.send('last words');
  socket.goodbye();
  await world.advance(10_000);
  assert.deepEqual(session.received, ['last words']);
  assert.equal(session.over, true);
  assert.equal(ended(socket).reason, 'goodbye');
  assert.equal(ended(socket).code, 1000);
  assert.equal(page.storage.entries.size, 0);
});

test('goodbye after a first connection that was cut before connected came is said', async () => {
  const world = new World();
  const page = world.page();
  const socket = page.open();
  world.latency = () => 100;
  await world.advance(150);
  assert.equal(world.gateway.connections.length, 1);
  world.cut();
  await world.advance(10);
  socket.goodbye();
  await world.advance(2000);
  assert.equal(world.gateway.sessions.size, 1);
  assert.equal(world.gateway.session.over, true);
  assert.equal(ended(socket).code, 1000);
});

test('a goodbye that nobody answers is over after 10 s, and says so', async () => {
  const all = await opened();
  const { world, page, socket } = all;
  world.up = false;
  world.cut();
  socket.send('last words');
  socket.goodbye();
  await world.advance(9_999);
  assert.equal(socket.readyState, socket.CLOSING);
  await world.advance(1);
  assert.deepEqual(ended(socket), {
    reason: 'goodbye', code: 1006, text: 'no answer', elsewhere: false, restarts: false,
    unacknowledged: ['last words'],
  });
  await isOver(all, page.sockets.length);
});

test('a goodbye whose answer was cut off is said again', async () => {
  const { world, socket, session } = await opened();
  socket.goodbye();
  await world.advance(1);
  world.cut();
  assert.equal(session.over, true);
  await world.advance(1000);
  assert.deepEqual(types(socket).slice(-2), ['ended', 'close']);
  assert.equal(ended(socket).reason, 'goodbye');
  assert.equal(ended(socket).code, 1006);
});

test('close says its code after what was sent before', async () => {
  const all = await opened();
  const { world, page, socket, session } = all;
  socket.send('last words');
  socket.close(4100, 'logged out');
  socket.close();
  await world.advance(10);
  assert.deepEqual(page.socket.closedWith, { code: 4100, reason: 'logged out' });
  assert.deepEqual(session.received, ['last words']);
  assert.equal(session.over, true);
  assert.equal(ended(socket).reason, 'closed');
  assert.equal(last(socket, 'close').code, 4100);
  await isOver(all);
});

test('close before there was any session is over at once', async () => {
  const world = new World();
  const page = world.page();
  const socket = page.open();
  socket.close();
  assert.equal(socket.readyState, socket.CLOSED);
  assert.deepEqual(types(socket), ['ended', 'close']);
  await isOver({ world, page, socket }, 0);
});

test('close takes no code that means to come back', async () => {
  const { socket } = await opened();
  for (const code of [1001, 4001, 3000, 999, 5000, NaN]) {
    assert.throws(() => socket.close(code), { name: 'InvalidAccessError' });
  }
  assert.throws(() => socket.close(1000, 'x'.repeat(124)), { name: 'SyntaxError' });
  assert.equal(socket.readyState, socket.OPEN);
});

for (const code of [1000, 4003, 4123]) {
  test(`a Close ${code} of the backend is final`, async () => {
    const all = await opened();
    all.gateway.last.close(code, 'banned');
    await all.world.advance(10);
    assert.deepEqual(ended(all.socket), {
      reason: 'backend', code, text: 'banned', elsewhere: false, restarts: false,
      unacknowledged: [],
    });
    assert.equal(last(all.socket, 'close').code, code);
    await isOver(all);
  });
}

test('refused: the client stops', async () => {
  const world = new World();
  world.gateway.refuse = 'who are you?';
  const page = world.page();
  const socket = page.open();
  await world.advance(10);
  assert.deepEqual(types(socket), ['ended', 'close']);
  assert.equal(ended(socket).reason, 'refused');
  assert.equal(ended(socket).text, 'who are you?');
  assert.equal(last(socket, 'close').code, 4004);
  await isOver({ world, page, socket });
});

test('a server that does not select adieu.v1 is told and left', async () => {
  const world = new World();
  world.gateway.protocol = '';
  const page = world.page();
  const socket = page.open();
  await world.advance(10);
  assert.deepEqual(types(socket), ['error', 'ended', 'close']);
  assert.equal(ended(socket).reason, 'unsupported');
  assert.equal(ended(socket).text, 'adieu.v1 was not selected');
  await isOver({ world, page, socket });
});

test('a connection that the browser does not allow is told', async () => {
  const world = new World();
  const page = world.page();
  page.forbids = new DOMException('ws: from an https: page', 'SecurityError');
  const socket = page.open();
  await world.advance(10);
  assert.deepEqual(types(socket), ['error', 'ended', 'close']);
  assert.equal(ended(socket).reason, 'blocked');
  await isOver({ world, page, socket }, 0);
});

for (const reason of ['expired', 'invalid', 'stale', 'lost', 'refused', 'origin']) {
  test(`not resumed, ${reason}: told with what is unacknowledged, then a new opens`, async () => {
    const { world, gateway, socket } = await opened((world) => {
      world.gateway.acknowledges = false;
    });
    socket.send('sent');
    await world.advance(10);
    gateway.refuseResume = () => reason;
    world.cut();
    await world.advance(1);
    socket.send('not sent');
    await world.advance(1000);
    assert.deepEqual(types(socket), ['open', 'interrupted', 'ended', 'open']);
    const { sessionId, ...detail } = last(socket, 'ended').detail;
    assert.equal(sessionId, 's1');
    assert.deepEqual(detail, {
      reason, code: 1006, text: '', elsewhere: reason === 'stale', restarts: true,
      unacknowledged: ['sent', 'not sent'],
    });
    assert.equal(socket.sessionId, 's2');
    assert.equal(socket.bufferedAmount, 0);
    socket.send('new');
    await world.advance(10);
    assert.deepEqual(gateway.session.received, ['new']);
  });
}

test('another user: what a page sent is told to that page, and to no later one', async () => {
  for (const later of [false, true]) {
    const { world, gateway, page, socket } = await opened();
    world.cut();
    socket.send('of anna');
    await world.advance(0);
    gateway.refuseResume = () => 'replaced';
    const told = later ? page.refresh().open() : socket;
    await world.advance(1000);
    const { reason, restarts, unacknowledged } = ended(told);
    assert.deepEqual([reason, restarts], ['replaced', true]);
    assert.deepEqual(unacknowledged, later ? [] : ['of anna']);
    assert.deepEqual(gateway.session.received, [], 'it is not said by the other user');
  }
});

test('a new session begins to count anew', async () => {
  const { world, gateway, page, socket, session } = await opened();
  gateway.push(session, 'of the old one');
  socket.send('to the old one');
  await world.advance(10);
  session.over = true;
  world.cut();
  await world.advance(1000);
  world.cut();
  await world.advance(1000);
  assert.deepEqual(types(socket).slice(-2), ['interrupted', 'resumed']);
  assert.deepEqual(offered(page.socket), ['adieu.resume.s2_1.0.-.0']);
});

test('what a new page sent before it learns that its session is over goes to the new', async () => {
  const { world, gateway, page, socket, session } = await opened();
  world.cut();
  socket.send('of the old page');
  session.over = true;
  const next = page.refresh();
  const again = next.open();
  again.send('of the new page');
  await world.advance(10);
  assert.deepEqual(types(again), ['ended', 'open']);
  assert.deepEqual(ended(again).unacknowledged, ['of the old page']);
  assert.deepEqual(gateway.session.received, ['of the new page']);
});

test('close in the handler of ended prevents the next session from opening', async () => {
  const { world, session, socket } = await opened();
  socket.onended = () => socket.close();
  session.over = true;
  world.cut();
  await world.advance(1000);
  assert.deepEqual(types(socket), ['open', 'interrupted', 'ended', 'ended', 'close']);
  assert.equal(world.gateway.session.over, true);
});

test('a page that is left while it says goodbye is over', async () => {
  const { world, page, socket, session } = await opened();
  socket.goodbye();
  page.hide();
  assert.deepEqual(types(socket), ['open', 'ended', 'close']);
  await world.advance(10);
  assert.equal(session.over, true);
  assert.equal(page.storage.entries.size, 0);
});

test('a page that is shown while it says goodbye is over', async () => {
  const { world, page, socket } = await opened();
  socket.goodbye();
  page.show();
  await world.advance(1000);
  assert.equal(page.sockets.length, 1);
  assert.deepEqual(types(socket), ['open', 'ended', 'close']);
});
