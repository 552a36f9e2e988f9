// Outside of browsers: on a server that renders, in a test.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { AdieuSocket } from '../dist/index.js';

const names = ['WebSocket', 'CloseEvent', 'sessionStorage'];
const own = new Map(names.map((name) => [
  name, Object.getOwnPropertyDescriptor(globalThis, name),
]));

/** As in a version of Node that has these and no others. */
const only = (globals) => {
  for (const name of names) {
    delete globalThis[name];
    if (globals[name]) globalThis[name] = globals[name];
  }
};

afterEach(() => {
  only({});
  for (const [name, is] of own) if (is) Object.defineProperty(globalThis, name, is);
});

class NodeWebSocket extends EventTarget {
  protocol = 'adieu.v1';
  sent = [];

  constructor() {
    super();
    NodeWebSocket.last = this;
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {}

  says(message) {
    const data = JSON.stringify(message);
    this.dispatchEvent(new MessageEvent('message', { data }));
  }
}

test('without WebSocket, as in Node 20, it says that it is for browsers', () => {
  only({});
  const message = 'AdieuSocket is for browsers: here is no WebSocket';
  assert.throws(() => new AdieuSocket('wss://a.test/live'), { message });
});

test('with WebSocket alone, as in Node 22, it works in memory', async () => {
  only({ WebSocket: NodeWebSocket });
  const socket = new AdieuSocket('wss://a.test/live');
  const log = [];
  for (const type of ['warning', 'open', 'message', 'ended', 'close']) {
    socket.addEventListener(type, (event) => log.push([type, event.code ?? event.data]));
  }
  await new Promise(setImmediate);
  NodeWebSocket.last.says({
    type: 'connected', sessionId: 's1', reconnectionToken: 's1_1', generation: 1, resumed: false,
    window: 15_000, sequenceAck: 0, heartbeat: 0,
  });
  NodeWebSocket.last.says({ type: 'message', sequenceId: 1, text: 'hello' });
  NodeWebSocket.last.dispatchEvent(
    Object.assign(new Event('close'), { code: 4003, reason: 'enough', wasClean: true }),
  );
  assert.deepEqual(log, [
    ['warning', undefined], ['open', undefined], ['message', 'hello'], ['ended', undefined],
    ['close', 4003],
  ]);
});
