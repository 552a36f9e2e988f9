import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, last, offered, opened, received, said, stored, types } from './helpers.js';
import { World } from './world.js';

test('a session opens once, and messages go both ways', async () => {
  const { world, gateway, page, socket, session } = await opened();
  assert.equal(page.socket.protocols[0], 'adieu.v1');
  assert.deepEqual(offered(page.socket), ['first']);
  assert.deepEqual(types(socket), ['open']);
  assert.equal(socket.readyState, socket.OPEN);
  assert.equal(socket.protocol, 'adieu.v1');
  assert.equal(socket.sessionId, 's1');
  socket.send('hello');
  socket.send(new Uint8Array([0, 1, 255]).buffer);
  socket.send(new Uint16Array([1, 2, 3]).subarray(1));
  gateway.push(session, 'welcome');
  gateway.push(session, new Uint8Array([9, 200]));
  await world.advance(10);
  const [text, bytes, view] = session.received;
  assert.equal(text, 'hello');
  assert.deepEqual([...bytes], [0, 1, 255]);
  assert.deepEqual([...view], [2, 0, 3, 0]);
  const [first, second] = received(socket);
  assert.equal(first, 'welcome');
  assert.deepEqual([...new Uint8Array(second)], [9, 200]);
  assert.equal(last(socket, 'message').origin, 'wss://a.test');
});

test('half of a surrogate pair is replaced: JSON parsers refuse it', async () => {
  const { world, socket, session } = await opened();
  socket.send('a\ud800b\u{1f600}\ufeff\n');
  await world.advance(10);
  assert.deepEqual(session.received, ['a\ufffdb\u{1f600}\ufeff\n']);
});

test('messages are kept until the gateway has acknowledged them', async () => {
  const { world, gateway, socket, session } = await opened((world) => {
    world.gateway.acknowledges = false;
  });
  socket.send('héllo');
  socket.send(new ArrayBuffer(10));
  await world.advance(100);
  assert.equal(socket.bufferedAmount, 16);
  session.received.pop();
  gateway.last.acknowledge();
  await world.advance(10);
  assert.equal(socket.bufferedAmount, 10);
});

test('after a loss the rest is sent again, in order, and nothing twice', async () => {
  const { world, gateway, page, socket, session } = await opened((world) => {
    world.gateway.acknowledges = false;
  });
  for (const text of ['a', 'b', 'c']) socket.send(text);
  await world.advance(10);
  world.cut();
  socket.send('d');
  await world.advance(1000);
  assert.deepEqual(offered(page.socket), ['adieu.resume.s1_1.0.-.0']);
  assert.deepEqual(session.received, ['a', 'b', 'c', 'd']);
  assert.deepEqual(said(page.socket).map((message) => message.sequenceId), [4]);
  assert.equal(gateway.violations.length, 0);
});

test('resumed tells the generation and that the page is the same', async () => {
  const { world, socket } = await opened();
  world.cut();
  await world.advance(1000);
  assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
  assert.deepEqual(last(socket, 'resumed').detail, { generation: 2, afterPageLoad: false });
});

test('a refresh resumes: token, number and unacknowledged messages survive it', async () => {
  const { world, gateway, page, socket, session } = await opened((world) => {
    world.gateway.acknowledges = false;
  });
  gateway.push(session, 'one');
  await world.advance(10);
  world.up = false;
  world.cut();
  socket.send('kept');
  await world.advance(10);
  world.up = true;
  const next = page.refresh();
  const again = next.open();
  assert.equal(again.bufferedAmount, 4);
  assert.equal(again.sessionId, 's1');
  gateway.push(session, 'two');
  await world.advance(10);
  assert.deepEqual(offered(next.socket), ['adieu.resume.s1_1.1.t000000-.0']);
  assert.deepEqual(types(again), ['resumed', 'message']);
  assert.deepEqual(last(again, 'resumed').detail, { generation: 2, afterPageLoad: true });
  assert.deepEqual(received(again), ['two']);
  assert.deepEqual(session.received, ['kept']);
});

test('duplicates are dropped and acknowledged again', async () => {
  const { world, gateway, page, socket, session } = await opened();
  gateway.push(session, 'one');
  await world.advance(200);
  gateway.last.sendMessage(1);
  await world.advance(200);
  assert.deepEqual(received(socket), ['one']);
  const acks = page.socket.sent.filter((message) => message.type === 'sequenceAck');
  assert.deepEqual(acks.map((ack) => ack.sequenceId), [1, 1]);
});

test('acknowledgements are cumulative: each 100 ms, or after 32 messages', async () => {
  const { world, gateway, page, session } = await opened();
  const acks = () => said(page.socket).map((message) => message.sequenceId);
  for (let i = 1; i <= 31; i++) gateway.push(session, String(i));
  await world.advance(50);
  assert.deepEqual(acks(), []);
  await world.advance(60);
  assert.deepEqual(acks(), [31]);
  for (let i = 32; i <= 65; i++) gateway.push(session, String(i));
  await world.advance(5);
  assert.deepEqual(acks(), [31, 63]);
  await world.advance(100);
  assert.deepEqual(acks(), [31, 63, 65]);
});

test('a gap ends the connection, not the session', async () => {
  const { world, gateway, page, socket, session } = await opened();
  session.sent.push('one', 'two');
  gateway.last.sendMessage(2);
  await world.advance(1000);
  assert.deepEqual(page.sockets[0].closedWith, { code: 4005, reason: 'a message is missing' });
  assert.deepEqual(received(socket), ['one', 'two']);
  assert.equal(events(socket, 'resumed').length, 1);
});

test('violations again and again end the session', async () => {
  const { world, gateway, socket } = await opened();
  for (let i = 0; i < 3; i++) {
    gateway.last.send('{"type":"sequenceAck","sequenceId":7}');
    await world.advance(2000);
  }
  assert.deepEqual(types(socket).slice(-3), ['error', 'ended', 'close']);
  assert.equal(last(socket, 'ended').detail.reason, 'violation');
});

test('a message that the gateway always refuses does not come back for ever', async () => {
  const { world, gateway, socket } = await opened((world) => {
    world.gateway.acknowledges = false;
  });
  socket.send('x'.repeat(100));
  for (let i = 0; i < 3; i++) {
    gateway.session.received.length = 0;
    gateway.last.close(1009, 'too large');
    await world.advance(3000);
  }
  assert.equal(last(socket, 'ended').detail.reason, 'violation');
  assert.deepEqual(last(socket, 'ended').detail.unacknowledged, ['x'.repeat(100)]);
  assert.equal(last(socket, 'close').code, 1009);
});

test('unknown types and fields are ignored', async () => {
  const { world, gateway, socket } = await opened();
  gateway.last.send('{"type":"later","sequenceId":99}');
  gateway.last.send('{"type":"heartbeat","more":{"a":1}}');
  gateway.last.send('{"kind":1}');
  await world.advance(1000);
  assert.deepEqual(types(socket), ['open']);
});

for (const text of ['hello', 'null', '5', '"text"']) {
  test(`what is no JSON object ends the connection, not the session: ${text}`, async () => {
    const { world, gateway, socket } = await opened();
    gateway.last.send(text);
    await world.advance(1000);
    assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
  });
}

test('a message that its page did not live to handle comes to the next page', async () => {
  const { world, gateway, page, socket, session } = await opened();
  const key = [...page.storage.entries.keys()][0];
  let within;
  socket.onmessage = () => (within = page.storage.getItem(key));
  gateway.push(session, 'one');
  await world.advance(10);
  // As if it had died in the handler.
  page.crash();
  page.storage.setItem(key, within);
  const again = world.page({ storage: page.storage }).open();
  await world.advance(100);
  assert.deepEqual(received(again), ['one']);
});

test('an answer is stored together with what it answers', async () => {
  const { world, gateway, page, socket, session } = await opened((world) => {
    world.gateway.acknowledges = false;
  });
  const states = [];
  const { setItem } = page.storage;
  page.storage.setItem = function (key, value) {
    setItem.call(this, key, value);
    states.push({ ...stored(page), message: this.getItem('adieu:wss://a.test/live 0') });
  };
  socket.onmessage = ({ data }) => socket.send(`answer to ${data}`);
  gateway.push(session, 'one');
  await world.advance(10);
  const with1 = states.find(({ received }) => received === 1);
  assert.equal(with1.count, 1);
  assert.match(with1.message, /answer to one/);
  assert.deepEqual(states.map(({ received }) => received), [0, 1]);
});

test('messages sent before the connection is there are delivered', async () => {
  const world = new World();
  const socket = world.page().open();
  socket.send('early');
  await world.advance(10);
  assert.deepEqual(world.gateway.session.received, ['early']);
  assert.deepEqual(types(socket), ['open']);
});

test('a message from before the refresh of a page without a session is delivered', async () => {
  const world = new World();
  world.up = false;
  const page = world.page();
  page.open().send('early');
  await world.advance(10);
  world.up = true;
  page.refresh().open();
  await world.advance(10);
  assert.deepEqual(world.gateway.session.received, ['early']);
});

test('a state older than the gateway: a new message is not taken for an old one', async () => {
  const { world, page, socket, session } = await opened();
  socket.send('a');
  await world.advance(0);
  const storage = page.storage.copy();
  socket.send('b');
  await world.advance(10);
  page.crash();
  // As after a browser that restored its tabs from what it had on disk.
  const again = world.page({ storage }).open();
  again.send('c');
  await world.advance(100);
  assert.deepEqual(session.received, ['a', 'b', 'c']);
  assert.deepEqual(types(again), ['resumed']);
});
