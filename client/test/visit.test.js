// The first visit: until `connected` has come, only a nonce tells that it is the same person.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { last, offered, opened, said, stored, types } from './helpers.js';
import { World } from './world.js';

const KEY = 'adieu:wss://a.test/live';

/** A page whose connection has reached the gateway, and has not heard of it. */
const reached = async (prepare = () => {}) => {
  const world = new World();
  prepare(world);
  world.latency = () => 100;
  const page = world.page();
  const socket = page.open();
  await world.advance(150);
  assert.equal(world.gateway.sessions.size, 1);
  assert.deepEqual(types(socket), []);
  return { world, gateway: world.gateway, page, socket };
};

test('a nonce of 128 bits is stored before the first connection is begun', async () => {
  const world = new World();
  const page = world.page();
  let before;
  const { getRandomValues } = page.globals.crypto;
  page.globals.crypto.getRandomValues = (array) => {
    before = [array.length, page.sockets.length, page.storage.entries.size];
    return getRandomValues(array);
  };
  page.open();
  await world.advance(0);
  assert.deepEqual(before, [16, 0, 0]);
  const { name } = stored(page);
  assert.match(name, /^[\w-]{22}$/);
  assert.deepEqual(page.socket.protocols, ['adieu.v1', `adieu.first.${name}`]);
});

for (const says of [true, false]) {
  test(`refreshed before it was connected: one session, which opens once (${says})`, async () => {
    const { world, gateway, page } = await reached();
    gateway.saysResumed = () => says;
    gateway.push(gateway.session, 'to whoever comes');
    const next = page.refresh();
    const socket = next.open();
    await world.advance(1000);
    assert.deepEqual(next.socket.protocols, page.socket.protocols, 'the same nonce');
    assert.equal(gateway.sessions.size, 1);
    assert.deepEqual(types(socket), ['open', 'message']);
    assert.equal(socket.sessionId, 's1');
  });
}

test('each connection offers it until connected came; then the token takes its place', async () => {
  const { world, gateway, page, socket } = await reached();
  world.cut();
  await world.advance(1000);
  assert.deepEqual(page.sockets[1].protocols, page.sockets[0].protocols);
  assert.deepEqual(types(socket), ['interrupted', 'open']);
  assert.equal(gateway.sessions.size, 1);
  world.cut();
  await world.advance(1000);
  assert.deepEqual(offered(page.socket), ['adieu.resume.s1_2.0.-.0']);
});

test('it is offered for 60 s, then another one is made', async () => {
  const world = new World();
  world.up = false;
  const page = world.page();
  page.open();
  await world.advance(200_000);
  const ages = new Map();
  for (const { protocols, at } of page.sockets) {
    const [from] = ages.get(protocols[1]) ?? [at];
    ages.set(protocols[1], [from, at]);
  }
  assert.ok(ages.size > 2);
  for (const [from, to] of ages.values()) assert.ok(to - from < 60_000);
});

test('one that is older than 60 s, or from the future, is not used by the next page', async () => {
  for (const step of [60_000, -1000]) {
    const { world, page } = await reached();
    world.clock.ahead += step;
    const next = page.refresh();
    next.open();
    await world.advance(10);
    assert.notEqual(next.socket.protocols[1], page.socket.protocols[1]);
    assert.equal(offered(next.socket)[0], 'first');
  }
});

test('a tab that is duplicated before it was connected gets a nonce of its own', async () => {
  const { world, gateway, page, socket } = await reached();
  const copy = world.page({ storage: page.storage.copy() });
  const second = copy.open();
  await world.advance(2000);
  assert.notEqual(copy.sockets[0].protocols[1], page.socket.protocols[1]);
  assert.deepEqual([types(socket), types(second)], [['open'], ['open']]);
  assert.deepEqual([socket.sessionId, second.sessionId], ['s1', 's2']);
  assert.equal(gateway.session.generation, 1);
});

test('goodbye while connecting is said as soon as there is a connection', async () => {
  const { world, gateway, page, socket } = await reached();
  socket.goodbye();
  await world.advance(1000);
  assert.equal(gateway.session.over, true);
  assert.equal(last(socket, 'ended').detail.reason, 'goodbye');
  assert.equal(last(socket, 'close').code, 1000);
  assert.equal(page.storage.entries.size, 0);
});

test('a page tells once how long it took from its navigation until it was connected', async () => {
  const world = new World();
  const page = world.page({ loadedIn: 1200 });
  page.open();
  await world.advance(100);
  const { session } = world.gateway;
  assert.deepEqual(session.loaded, [1202]);
  world.cut();
  await world.advance(2000);
  assert.equal(session.generation, 2);
  assert.deepEqual(session.loaded, [1202]);
  world.page({ storage: page.refresh().storage, loadedIn: 80_000 }).open();
  await world.advance(100);
  assert.deepEqual(session.loaded, [1202, 60_000], 'a minute at most');
});

test('a socket that is made later in the page tells no loading time', async () => {
  const { world, page, socket, session } = await opened();
  await world.advance(50_000);
  socket.detach();
  page.open();
  await world.advance(100);
  assert.equal(session.generation, 2);
  assert.equal(session.loaded.length, 1);
  assert.deepEqual(said(page.socket), []);
});

test('of two sockets for one URL each tells the loading time: each has a session', async () => {
  const { world, gateway, page } = await opened();
  page.open();
  await world.advance(100);
  const told = [...gateway.sessions.values()].map(({ loaded }) => loaded.length);
  assert.deepEqual(told, [1, 1]);
});

test('the token is confirmed at once: the one before it is worthless then', async () => {
  const { world, gateway, page, session } = await opened();
  const next = page.refresh();
  next.open();
  await world.advance(10);
  assert.equal(session.confirmed, 2);
  assert.equal(JSON.parse(next.storage.getItem(KEY)).token, 's1_2');
  assert.equal(gateway.violations.length, 0);
});
