import assert from 'node:assert/strict';
import { test } from 'node:test';
import { events, last, opened, received, types } from './helpers.js';
import { World } from './world.js';

/** Which connections asked for no compression. */
const asked = (page) => page.sockets.map((of) => of.protocols.includes('adieu.uncompressed'));

const compressing = (world) => {
  world.gateway.compresses = true;
};

test('a browser that cannot inflate gets its messages on a connection without compression',
  async () => {
    const { world, gateway, page, socket, session } = await opened(compressing);
    page.inflates = false;
    // The connection has lasted: that it ends says nothing. The next one ends at once.
    await world.advance(10_000);
    gateway.push(session, 'one');
    gateway.push(session, 'two');
    await world.advance(1000);
    assert.deepEqual(asked(page), [false, false, true]);
    assert.deepEqual(received(socket), ['one', 'two']);
    assert.deepEqual(events(socket, 'interrupted').map(({ detail }) => detail.code), [1006, 1006]);
    assert.equal(last(socket, 'ended'), undefined);
    // It stays as long as it lasts.
    gateway.push(session, 'three');
    await world.advance(60_000);
    assert.deepEqual([asked(page).length, received(socket).length], [3, 3]);
  });

test('the connection after it is compressed again', async () => {
  const { world, page } = await opened(compressing);
  world.cut();
  await world.advance(1000);
  world.cut();
  await world.advance(1000);
  assert.deepEqual(asked(page), [false, true, false]);
});

test('a gateway that could not inflate says so, and nothing is lost', async () => {
  const { world, gateway, page, socket, session } = await opened(compressing);
  socket.send('one');
  gateway.acknowledges = false;
  gateway.last.close(1007, 'a compressed message that cannot be inflated');
  await world.advance(1000);
  gateway.acknowledges = true;
  assert.deepEqual(asked(page), [false, true]);
  assert.deepEqual(session.received, ['one']);
});

test('a compressed connection that lasted is followed by one that is compressed', async () => {
  const { world, page } = await opened(compressing);
  await world.advance(10_000);
  world.cut();
  await world.advance(1000);
  assert.deepEqual(asked(page), [false, false]);
});

test('a gateway that goes away says nothing of compression', async () => {
  const { world, gateway, page } = await opened(compressing);
  gateway.last.send({ type: 'closing', retryAfter: 100 });
  gateway.last.close(1001, '');
  await world.advance(1000);
  assert.deepEqual(asked(page), [false, false]);
});

test('a gateway that does not compress is not asked not to', async () => {
  const { world, page } = await opened();
  world.cut();
  await world.advance(1000);
  assert.deepEqual(asked(page), [false, false]);
});

test('a page whose messages are secret asks for no compression, each time and once', async () => {
  const world = new World();
  compressing(world);
  const page = world.page();
  const socket = page.open(undefined, { compress: false, protocols: ['chat', 'chat'] });
  await world.advance(10);
  world.cut();
  await world.advance(1000);
  assert.deepEqual(types(socket), ['open', 'interrupted', 'resumed']);
  for (const { protocols } of page.sockets) {
    assert.deepEqual(protocols.filter((name) => !/^adieu\.(first|resume)\./.test(name)),
      ['adieu.v1', 'chat', 'adieu.uncompressed']);
  }
});
