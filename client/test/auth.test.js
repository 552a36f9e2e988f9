// What an application answers anew for each connection, and what it offers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, last, offered, opened, types } from './helpers.js';
import { World } from './world.js';

const URL = 'wss://a.test/live';

const auths = (page) =>
  page.sockets.map(({ protocols }) => {
    const [, text] = /^adieu\.auth\.([\w-]+)$/.exec(protocols[2]) ?? [];
    return text && Buffer.from(text, 'base64url').toString();
  });

const start = (url, options) => {
  const world = new World();
  const page = world.page();
  const socket = page.open(url, options);
  return { world, gateway: world.gateway, page, socket };
};

test('auth is asked for each connection, and offered in base64url', async () => {
  let asked = 0;
  const { world, page, socket } = start(URL, { auth: () => `é~jwt.${++asked}.?>` });
  assert.equal(asked, 0);
  await world.advance(10);
  world.cut();
  await world.advance(1000);
  assert.deepEqual(auths(page), ['é~jwt.1.?>', 'é~jwt.2.?>']);
  assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
});

test('an auth that takes a while is waited for', async () => {
  let answer;
  const auth = () => new Promise((resolve) => (answer = resolve));
  const { world, page } = start(URL, { auth });
  await world.advance(5000);
  assert.equal(page.sockets.length, 0);
  answer('late');
  await world.advance(10);
  assert.deepEqual(auths(page), ['late']);
});

test('an empty auth is none', async () => {
  const { world, page } = start(URL, { auth: () => '' });
  await world.advance(10);
  assert.deepEqual(offered(page.socket), ['first']);
});

const FAILURES = [
  ['throws', () => { throw new Error('401'); }, 'auth: Error: 401', 0],
  ['is rejected', () => Promise.reject(new Error('offline')), 'auth: Error: offline', 0],
  ['is no string', () => undefined, 'auth: TypeError: undefined is no string', 0],
  ['does not answer', () => new Promise(() => {}), 'auth: no answer within 10 s', 10_000],
];

for (const [name, failure, reason, after] of FAILURES) {
  test(`an auth that ${name} is an interrupted try`, async () => {
    let fails = true;
    const auth = () => (fails ? failure() : 'good');
    const { world, page, socket } = start(URL, { auth });
    await world.advance(after);
    assert.deepEqual(types(socket), ['interrupted']);
    const { retryIn, ...rest } = last(socket, 'interrupted').detail;
    assert.deepEqual(rest, { code: 1006, reason });
    assert.equal(retryIn, 175);
    fails = false;
    await world.advance(1000);
    assert.deepEqual(types(socket), ['interrupted', 'open']);
    assert.deepEqual(auths(page), ['good']);
  });
}

test('an auth that hangs is asked again when the network is back', async () => {
  let asked = 0;
  const { world, page, socket } = start(URL, {
    auth: () => (++asked === 1 ? new Promise(() => {}) : 'second'),
  });
  await world.advance(2000);
  page.online();
  await world.advance(20_000);
  assert.equal(asked, 2);
  assert.deepEqual(types(socket), ['open']);
});

test('an answer that comes when the page is gone changes nothing', async () => {
  let answer;
  const { world, page, socket } = start(URL, {
    auth: () => new Promise((resolve) => (answer = resolve)),
  });
  await world.advance(10);
  socket.detach();
  answer('late');
  await world.advance(1000);
  assert.equal(page.sockets.length, 0);
});

test('a function is asked for the URL of each connection', async () => {
  let asked = 0;
  const url = async () => `/live?ticket=${++asked}`;
  const { world, page, socket } = start(url, { storageKey: 'mine' });
  assert.equal(socket.url, '');
  await world.advance(10);
  assert.equal(socket.url, 'wss://a.test/live?ticket=1');
  world.gateway.push(world.gateway.session, 'hello');
  world.cut();
  await world.advance(1000);
  assert.equal(socket.url, 'wss://a.test/live?ticket=2');
  assert.deepEqual(page.sockets.map(({ url }) => url.slice(-1)), ['1', '2']);
  assert.equal(last(socket, 'message').origin, 'wss://a.test');
});

test('a function that answers no URL is an interrupted try', async () => {
  let url = 'ftp://a.test';
  const { world, socket } = start(() => url, { storageKey: 'mine' });
  await world.advance(10);
  assert.match(last(socket, 'interrupted').detail.reason, /^url: SyntaxError: no WebSocket URL/);
  url = URL;
  await world.advance(1000);
  assert.deepEqual(types(socket), ['interrupted', 'open']);
});

test('a URL that is a function needs a storageKey', () => {
  const { AdieuSocket } = new World().page();
  assert.throws(() => new AdieuSocket(() => URL), /TypeError.*needs the option storageKey/);
});

test('a token in the URL that is another one at each page load: one session', async () => {
  const { world, page } = start(`${URL}?token=one&user=anna#here`);
  await world.advance(10);
  const socket = page.refresh().open(`${URL}?token=two`);
  await world.advance(10);
  assert.deepEqual(types(socket), ['resumed']);
  assert.equal(world.gateway.sessions.size, 1);
  for (const [key, value] of page.storage.entries) assert.doesNotMatch(key + value, /token=|anna/);
});

test('own subprotocols are offered beside adieu.v1, for the backend to read', async () => {
  const { world, page, socket } = start(URL, { protocols: ['chat.v2', 'chat.v1', 'chat.v2'] });
  await world.advance(10);
  assert.equal(page.socket.protocols[0], 'adieu.v1');
  assert.deepEqual(offered(page.socket), ['first', 'chat.v2', 'chat.v1']);
  assert.equal(socket.protocol, 'adieu.v1');
});

test('a subprotocol that cannot be offered is refused at once', () => {
  const { AdieuSocket } = new World().page();
  for (const name of ['', 'a b', 'a,b', 'é', 'adieu.v1', 'adieu.auth.x']) {
    assert.throws(() => new AdieuSocket(URL, { protocols: [name] }), { name: 'SyntaxError' });
  }
});

test('subprotocols as the second argument, as WebSocket has them, are refused', () => {
  const { AdieuSocket } = new World().page();
  for (const second of ['chat', ['chat']]) {
    const message = 'the second argument is an object: { protocols: [...] }';
    assert.throws(() => new AdieuSocket(URL, second), { name: 'TypeError', message });
  }
});

test('a frame has another entry than the page around it', async () => {
  const { world, page, socket } = await opened();
  const framed = [undefined, '', 'chat'].map((frame) => {
    const inner = world.page({ storage: page.storage, frame });
    return frame === undefined ? socket : inner.open();
  });
  await world.advance(10);
  assert.deepEqual(framed.map((one) => one.sessionId), ['s1', 's2', 's3']);
  const keys = [URL, `${URL} in frame `, `${URL} in frame chat`].map((key) => `adieu:${key}`);
  assert.deepEqual([...page.storage.entries.keys()], keys);
  assert.equal(events(socket, 'ended').length, 0);
});
