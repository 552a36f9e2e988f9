import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, last, offered, opened, stored, types } from './helpers.js';
import { World } from './world.js';

const KEY = 'adieu:wss://a.test/live';

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

const TOO_LARGE = [
  [{}, 2 ** 20 + 1, 'the message is too large: 1048577 bytes, 1048576 at most'],
  [{ maxUnacknowledgedBytes: 10 }, 11, 'the message is too large: 11 bytes, 10 at most'],
  [{ maxUnacknowledgedBytes: 2 ** 22 }, 2 ** 20 + 1,
    'the message is too large: 1048577 bytes, 1048576 at most'],
];

for (const [options, bytes, message] of TOO_LARGE) {
  test(`a message that never fits says so: ${bytes}, ${JSON.stringify(options)}`, () => {
    const socket = new World().page().open(undefined, options);
    const send = () => socket.send('x'.repeat(bytes));
    assert.throws(send, { name: 'QuotaExceededError', message });
    assert.equal(socket.bufferedAmount, 0);
  });
}

test('a sessionStorage that refuses everything: it goes on in memory, told once', async () => {
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
  assert.match(last(socket, 'warning').detail.message, /^sessionStorage does not.*full/);
  assert.equal(page.storage.entries.size, 0, 'an old state would number messages twice');
});

test('a full sessionStorage keeps the token, and the messages that fit', async () => {
  const { world, gateway, page, socket, session } = await opened();
  gateway.acknowledges = false;
  page.storage.quota = page.storage.size + 100;
  for (const text of ['one', 'two', 'x'.repeat(100), 'four']) socket.send(text);
  gateway.push(session, 'received');
  await world.advance(300);
  assert.equal(session.received.length, 4);
  assert.equal(events(socket, 'warning').length, 1);
  session.received.length = 0;
  page.crash();
  const again = world.page({ storage: page.storage }).open();
  await world.advance(100);
  assert.deepEqual(types(again), ['resumed']);
  assert.deepEqual(session.received, ['one', 'two'], 'in order, without a gap');
});

test('out of the cache comes also what a full sessionStorage did not take', async () => {
  const { world, gateway, page, socket, session } = await opened();
  gateway.acknowledges = false;
  page.storage.quota = page.storage.size + 50;
  socket.send('stored');
  await world.advance(10);
  world.up = false;
  world.cut();
  socket.send('x'.repeat(100));
  await world.advance(10);
  assert.equal(stored(page).count, 1);
  page.hide(true);
  world.up = true;
  gateway.acknowledges = true;
  page.show();
  await world.advance(100);
  socket.send('and on');
  await world.advance(100);
  assert.deepEqual(session.received, ['stored', 'x'.repeat(100), 'and on']);
  assert.equal(socket.bufferedAmount, 0);
});

test('a full sessionStorage takes numbers that become longer', async () => {
  const { world, gateway, page, session } = await opened();
  page.storage.quota = page.storage.size;
  for (let i = 0; i < 1234; i++) gateway.push(session, `${i}`);
  await world.advance(300);
  const next = page.refresh();
  next.open();
  await world.advance(10);
  assert.deepEqual(offered(next.socket), ['adieu.resume.s1_1.1234.t001233-.0']);
});

test('a message whose entry is missing, and what follows it, is not sent', async () => {
  const { world, gateway, page, socket, session } = await opened();
  world.up = false;
  world.cut();
  for (const text of ['one', 'two', 'three']) socket.send(text);
  await world.advance(10);
  page.crash();
  page.storage.removeItem(`${KEY} 1`);
  world.up = true;
  const again = world.page({ storage: page.storage }).open();
  await world.advance(100);
  assert.deepEqual(session.received, ['one']);
  assert.equal(again.bufferedAmount, 0);
  assert.deepEqual(gateway.violations, []);
});

test('a page that clears sessionStorage clears nothing that is needed', async () => {
  const { world, gateway, page, socket, session } = await opened();
  gateway.acknowledges = false;
  socket.send('one');
  await world.advance(10);
  page.storage.entries.clear();
  socket.send('two');
  await world.advance(10);
  session.received.length = 0;
  page.crash();
  world.page({ storage: page.storage }).open();
  await world.advance(100);
  assert.deepEqual(session.received, ['one', 'two']);
});

test('when there is space again, what waits is stored', async () => {
  const { world, gateway, page, socket } = await opened();
  gateway.acknowledges = false;
  page.storage.quota = page.storage.size;
  socket.send('one');
  await world.advance(10);
  assert.equal(stored(page).count, 0);
  page.storage.quota = Infinity;
  socket.send('two');
  await world.advance(10);
  assert.equal(stored(page).count, 2);
  assert.equal(events(socket, 'warning').length, 1);
});

test('a storage that messages fill has space for the token', async () => {
  const world = new World();
  world.gateway.acknowledges = false;
  const page = world.page();
  page.storage.quota = 1000;
  const socket = page.open();
  for (let i = 0; i < 20; i++) socket.send('x'.repeat(50));
  await world.advance(100);
  page.crash();
  const again = world.page({ storage: page.storage }).open();
  await world.advance(100);
  assert.deepEqual(types(again), ['resumed']);
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

const GOOD = {
  adieu: 1, name: 'x'.repeat(22), madeAt: 0, sessionId: 's1', token: 's1_1', received: 0, tag: '',
  acked: 0, window: 15_000, first: 0, count: 0,
};
const FOREIGN = [
  '', 'null', '5', '{}', '[]', '"text"', 'true', '{"theme":"dark"}', '{"token":', 'no JSON',
  '{"token":"s1_1","received":0,"acked":0}\nx', '{"adieu":1}',
  ...[
    { token: 'not a token' }, { token: 5.5 }, { name: 'x' }, { received: -1 }, { received: '1' },
    { acked: null }, { window: 1e300 }, { count: [] }, { adieu: 2 }, { count: 1 },
  ].map((wrong) => JSON.stringify({ ...GOOD, ...wrong })),
];

for (const text of FOREIGN) {
  test(`what somebody else wrote there is as good as nothing: ${text}`, async () => {
    const world = new World();
    const page = world.page();
    page.storage.setItem(KEY, text);
    // A message that is none.
    page.storage.setItem(`${KEY} 0`, '"text":');
    const socket = page.open();
    socket.send('first');
    await world.advance(10);
    assert.deepEqual(types(socket), ['open']);
    assert.deepEqual(world.gateway.session.received, ['first']);
    const again = page.refresh().open();
    await world.advance(10);
    assert.deepEqual(types(again), ['resumed']);
  });
}

test('the URL without its query, and an own key, name the entry', async () => {
  const world = new World();
  const page = world.page();
  page.open('/live?user=anna#part');
  page.open('https://b.test/x', { storageKey: 'mine' });
  await world.advance(10);
  assert.deepEqual([...page.storage.entries.keys()].sort(), [KEY, 'mine']);
});

test('what the gateway has acknowledged is not stored any more', async () => {
  const { world, page, socket } = await opened();
  for (let i = 0; i < 50; i++) {
    socket.send(`message ${i}`);
    await world.advance(10);
  }
  assert.deepEqual([...page.storage.entries.keys()], [KEY]);
});

test('a page that died while it removed messages leaves none for ever', async () => {
  const { world, gateway, page, socket, session } = await opened();
  gateway.acknowledges = false;
  for (let i = 0; i < 5; i++) socket.send(`${i}`);
  await world.advance(10);
  page.storage.removeItem = () => {};
  gateway.last.acknowledge();
  await world.advance(10);
  assert.equal(page.storage.entries.size, 6);
  delete page.storage.removeItem;
  const again = page.refresh().open();
  await world.advance(10);
  assert.deepEqual([...page.storage.entries.keys()], [KEY]);
  assert.equal(again.bufferedAmount, 0);
  assert.equal(session.received.length, 5);
});

test('a message is written once, however many wait', async () => {
  const { world, page, socket } = await opened();
  world.up = false;
  world.cut();
  const wait = 'x'.repeat(100_000);
  for (let i = 0; i < 10; i++) socket.send(wait);
  await world.advance(10);
  page.storage.written = 0;
  for (let i = 0; i < 100; i++) {
    socket.send('small');
    await world.advance(0);
  }
  const each = page.storage.written / 100;
  assert.ok(each < 600, `${each} characters are written for each message`);
});

test('the messages of one task are stored once', async () => {
  const { world, page, socket } = await opened();
  page.storage.writes = 0;
  for (let i = 0; i < 100; i++) socket.send('x');
  await world.advance(0);
  assert.equal(page.storage.writes, 101, 'one for each, and one for the numbers');
});
