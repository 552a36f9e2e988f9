import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, last, opened, types } from './helpers.js';
import { World } from './world.js';

const LIMITS = [
  ['messages', { maxUnacknowledgedMessages: 3 }, 'x', 3],
  ['bytes', { maxUnacknowledgedBytes: 10 }, 'four', 2],
  ['1,000 messages by default', {}, 'x', 1000],
  ['1 MiB by default', {}, 'x'.repeat(2 ** 18), 4],
];

for (const [name, options, message, fits] of LIMITS) {
  test(`send throws when too much is unacknowledged: ${name}`, async () => {
    const world = new World();
    world.up = false;
    const socket = world.page().open(undefined, options);
    for (let i = 0; i < fits; i++) socket.send(message);
    assert.throws(() => socket.send(message), { name: 'QuotaExceededError' });
    world.up = true;
    await world.advance(1000);
    assert.equal(world.gateway.session.received.length, fits);
    socket.send(message);
    await world.advance(10);
    assert.equal(world.gateway.session.received.length, fits + 1);
  });
}

test('a full sessionStorage: it goes on in memory and says so once', async () => {
  const { world, gateway, page, socket, session } = await opened();
  page.storage.failure = new DOMException('full', 'QuotaExceededError');
  socket.send('one');
  await world.advance(10);
  socket.send('two');
  gateway.push(session, 'three');
  world.cut();
  await world.advance(1000);
  assert.deepEqual(session.received, ['one', 'two']);
  assert.equal(events(socket, 'warning').length, 1);
  assert.match(last(socket, 'warning').detail.message, /sessionStorage.*full/);
  assert.equal(page.storage.entries.size, 0, 'an old state would number messages twice');
});

test('no sessionStorage at all: it goes on in memory and says so once', async () => {
  const world = new World();
  const page = world.page({ storage: {
    getItem() { throw new DOMException('no', 'SecurityError'); },
    setItem() { throw new DOMException('no', 'SecurityError'); },
    removeItem() { throw new DOMException('no', 'SecurityError'); },
  } });
  const socket = page.open();
  await world.advance(10);
  world.cut();
  await world.advance(1000);
  assert.deepEqual(types(socket), ['warning', 'open', 'interrupted', 'resumed']);
});

const FOREIGN = [
  '', 'null', '5', '{}', '{"token":', '{"token":"s1_1","received":0,"acked":0}\nx',
];

for (const text of FOREIGN) {
  test(`what somebody else wrote there is not taken for a session: ${text}`, async () => {
    const world = new World();
    const page = world.page();
    page.storage.setItem('adieu:wss://a.test/live', text);
    const socket = page.open();
    await world.advance(10);
    assert.deepEqual(types(socket), ['open']);
  });
}

test('the URL and an own key name the entry', async () => {
  const world = new World();
  const page = world.page();
  page.open('/live#part');
  page.open('https://b.test/x', { storageKey: 'mine' });
  await world.advance(10);
  assert.deepEqual([...page.storage.entries.keys()].sort(), ['adieu:wss://a.test/live', 'mine']);
});

test('the messages of one task are stored once', async () => {
  const { world, page, socket } = await opened();
  let writes = 0;
  const { setItem } = page.storage;
  page.storage.setItem = function (key, value) {
    writes++;
    setItem.call(this, key, value);
  };
  for (let i = 0; i < 100; i++) socket.send('x');
  await world.advance(0);
  assert.equal(writes, 1);
});
