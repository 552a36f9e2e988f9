// useAdieu in real React, under StrictMode, which mounts each component twice.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Window } from 'happy-dom';
import { types } from './helpers.js';
import { World } from './world.js';

// React's DOM looks for these; the socket has the world of its page instead.
const window = new Window({ url: 'https://a.test/' });
const { document, navigator } = window;
for (const [name, value] of Object.entries({ window, document, navigator })) {
  Object.defineProperty(globalThis, name, { value, configurable: true });
}
globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const React = (await import('react')).default;
const { createRoot } = await import('react-dom/client');
const { renderToString } = await import('react-dom/server');

const { StrictMode, act, createElement } = React;
const URL = 'wss://a.test/live';
const roots = [];

afterEach(() => act(() => roots.splice(0).forEach((root) => root.unmount())));

/** A page with a component that uses a socket. */
class App {
  world = new World();
  page = this.world.page();
  heard = [];

  constructor() {
    this.#load(this.page);
  }

  #load(page) {
    this.page = page;
    const { useAdieu } = page.react(React);
    this.Component = ({ url, options }) => {
      this.hook = useAdieu(url, options);
      return createElement('p', null, `${this.hook.readyState} ${this.hook.sessionId}`);
    };
    this.element = document.createElement('div');
    this.root = createRoot(this.element);
    roots.push(this.root);
  }

  /** `null`: without the component. */
  async render(url, options, Wrapper = StrictMode) {
    const child = url === undefined ? null : createElement(this.Component, { url, options });
    await act(() => this.root.render(createElement(Wrapper, null, child)));
    await this.settle();
  }

  settle(ms = 100) {
    return act(() => this.world.advance(ms));
  }

  async refresh() {
    this.#load(this.page.refresh());
  }

  get text() {
    return this.element.textContent;
  }

  get sockets() {
    return this.page.sockets;
  }
}

test('mounted under StrictMode: one connection, one session', async () => {
  const app = new App();
  await app.render(URL);
  assert.equal(app.sockets.length, 1);
  assert.equal(app.world.gateway.connections.length, 1);
  assert.equal(app.text, '1 s1');
  assert.equal(app.hook.socket.readyState, 1);
});

test('a refresh under StrictMode is a resume, and no departure', async () => {
  const app = new App();
  await app.render(URL);
  const { gateway } = app.world;
  const { session } = gateway;
  await app.refresh();
  await app.render(URL);
  assert.equal(app.text, '1 s1');
  assert.equal(app.sockets.length, 1);
  assert.deepEqual([gateway.sessions.size, session.generation, session.over], [1, 2, false]);
  assert.deepEqual(gateway.connections.map(({ endedWith }) => endedWith), [4001, undefined]);
});

test('rendered again with new handlers: the same socket, the last handlers', async () => {
  const app = new App();
  const heard = [];
  for (const name of ['first', 'second']) {
    await app.render(URL, { onmessage: ({ data }) => heard.push(`${name} ${data}`) });
  }
  const { gateway } = app.world;
  gateway.push(gateway.session, 'hello');
  await app.settle();
  assert.deepEqual(heard, ['second hello']);
  assert.equal(app.sockets.length, 1);
});

test('unmounted it leaves the session, mounted again it goes on with it', async () => {
  const app = new App();
  await app.render(URL);
  const { socket } = app.hook;
  await app.render(undefined);
  const { gateway } = app.world;
  assert.equal(socket.readyState, 3);
  assert.equal(gateway.connections[0].endedWith, 4001);
  gateway.push(gateway.session, 'while nobody was there');
  const heard = [];
  await app.render(URL, { onmessage: ({ data }) => heard.push(data) });
  assert.deepEqual(heard, ['while nobody was there']);
  assert.deepEqual([gateway.sessions.size, gateway.session.generation], [1, 2]);
  assert.equal(app.text, '1 s1');
});

test('another query is another connection of the same session', async () => {
  const app = new App();
  await app.render(`${URL}?token=1`);
  await app.render(`${URL}?token=2`);
  assert.deepEqual(app.sockets.map(({ url }) => url.slice(-1)), ['1', '2']);
  assert.equal(app.text, '1 s1');
  assert.equal(app.world.gateway.sessions.size, 1);
});

test('another path is another session; the first one may be come back to', async () => {
  const app = new App();
  await app.render(`${URL}/a`);
  await app.render(`${URL}/b`);
  assert.equal(app.text, '1 s2');
  await app.render(`${URL}/a`);
  assert.equal(app.text, '1 s1');
  const over = [...app.world.gateway.sessions.values()].map((session) => session.over);
  assert.deepEqual(over, [false, false]);
});

test('without a URL there is no socket', async () => {
  const app = new App();
  await app.render(null);
  assert.deepEqual(app.hook, { socket: null, readyState: 3, sessionId: '' });
  await app.render(URL);
  assert.equal(app.text, '1 s1');
  await app.render(null);
  assert.deepEqual(app.hook, { socket: null, readyState: 3, sessionId: '' });
  assert.equal(app.world.gateway.connections.at(-1).endedWith, 4001);
});

test('functions of the last rendering answer; a new function is no new socket', async () => {
  const app = new App();
  for (const round of [1, 2]) {
    const auth = async () => `token ${round}`;
    await app.render(async () => `${URL}?round=${round}`, { auth, storageKey: 'mine' });
  }
  assert.equal(app.sockets.length, 1);
  app.world.cut();
  await app.settle(1000);
  const said = app.sockets.map(({ url, protocols }) => {
    const auth = Buffer.from(protocols[2].split('.')[2], 'base64url').toString();
    return [url.slice(-1), auth];
  });
  assert.deepEqual(said, [['1', 'token 1'], ['2', 'token 2']]);
});

test('a rendering with auth after one without is no new socket, and is asked', async () => {
  const app = new App();
  await app.render(URL);
  await app.render(URL, { auth: () => 'late' });
  assert.equal(app.sockets.length, 1);
  app.world.cut();
  await app.settle(1000);
  assert.deepEqual(app.sockets.map(({ protocols }) => protocols.length), [2, 3]);
});

test('what the socket tells is rendered', async () => {
  const app = new App();
  const ended = [];
  await app.render(URL, { onended: ({ detail }) => ended.push(detail.reason) });
  app.world.up = false;
  app.world.cut();
  await app.settle(10);
  assert.equal(app.text, '0 s1');
  app.world.up = true;
  await app.settle(5000);
  assert.equal(app.text, '1 s1');
  app.hook.socket.goodbye();
  await app.settle();
  assert.equal(app.text, '3 ');
  assert.deepEqual(ended, ['goodbye']);
});

test('goodbye and unmounted in one turn is a goodbye', async () => {
  const app = new App();
  await app.render(URL);
  app.hook.socket.goodbye();
  await app.render(undefined);
  assert.equal(app.world.gateway.session.over, true);
});

test('goodbye and another URL in one turn: the new socket is shown', async () => {
  const app = new App();
  const reasons = [];
  const onended = ({ detail }) => reasons.push(detail.reason);
  await app.render(`${URL}/a`, { onended });
  // Nobody answers, so that it is over when the other one is open.
  app.world.gateway.last.receive = () => {};
  app.hook.socket.goodbye();
  await app.render(`${URL}/b`, { onended });
  assert.equal(app.text, '1 s2');
  await app.settle(15_000);
  assert.equal(app.text, '1 s2');
  assert.deepEqual(reasons, ['goodbye'], 'it is told all the same');
});

test('a socket of the recipe for other frameworks: made and detached in turn', async () => {
  const { world, page } = new App();
  const sockets = [];
  for (let i = 0; i < 3; i++) {
    const socket = page.open();
    sockets.push(socket);
    if (i < 2) socket.detach();
  }
  await world.advance(100);
  assert.deepEqual(sockets.map(types), [[], [], ['open']]);
});

test('on a server it renders, and opens nothing', () => {
  const app = new App();
  const html = renderToString(createElement(app.Component, { url: URL }));
  assert.equal(html, '<p>0 </p>');
  assert.equal(app.sockets.length, 0);
});
