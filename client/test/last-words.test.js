// What a page sends in its own handlers while it goes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { opened } from './helpers.js';
import { World } from './world.js';

/** Where a page may listen: what it hears last when it goes. */
const PLACES = [
  ['pagehide', (page) => page.window],
  ['visibilitychange', (page) => page.document],
  ['visibilitychange', (page) => page.window],
];

for (const [type, target] of PLACES) {
  for (const order of ['before', 'after']) {
    for (const state of ['visible', 'hidden']) {
      const where = target({ window: 'window', document: 'document' });
      test(`send in ${type} of the ${where}, ${order} ours, page ${state}`, async () => {
        const world = new World();
        const page = world.page();
        let socket;
        const listen = () => target(page).addEventListener(type, () => socket.send('last words'));
        if (order === 'before') listen();
        socket = page.open();
        if (order === 'after') listen();
        await world.advance(10);
        const { session } = world.gateway;
        if (state === 'hidden') page.look('hidden');
        page.hide();
        page.alive = false;
        await world.advance(1000);
        assert.deepEqual(session.received, ['last words']);
        assert.equal(page.socket.closedWith.code, 4001);
        assert.match([...page.storage.entries.values()].join(), /last words/);
        assert.equal(world.locks.held.size, 0);
      });
    }
  }
}

for (const type of ['pagehide', 'visibilitychange']) {
  test(`goodbye in ${type} is a goodbye, after what was sent`, async () => {
    const { world, page, socket, session } = await opened();
    page.window.addEventListener(type, () => {
      socket.send('last words');
      socket.goodbye();
    });
    page.hide();
    page.alive = false;
    await world.advance(1000);
    assert.deepEqual(session.received, ['last words']);
    assert.equal(session.over, true);
    assert.equal(page.storage.entries.size, 0);
  });
}

test('a page that becomes visible again after it was not restored goes on', async () => {
  const { world, page, socket } = await opened();
  // Some embedded browsers tell no visibilitychange when a page goes.
  page.window.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }));
  page.window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  page.look('visible');
  await world.advance(1000);
  assert.equal(socket.readyState, socket.OPEN);
  page.hide(true);
  page.show();
  await world.advance(1000);
  assert.equal(socket.readyState, socket.OPEN);
  assert.equal(world.gateway.sessions.size, 1);
});

test('another tab is looked at after the page was restored without visibilitychange', async () => {
  const { world, page, socket } = await opened();
  page.window.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }));
  page.window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  await world.advance(1000);
  page.look('hidden');
  await world.advance(1000);
  assert.equal(socket.readyState, socket.OPEN, 'the page is there still');
  page.look('visible');
  await world.advance(1000);
  assert.equal(socket.readyState, socket.OPEN);
});
