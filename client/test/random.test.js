// Random lives of a tab: whatever happens to its pages and connections, at the end both sides have
// the same lists. The lives are the same in each run, but for those with ADIEU_LONG. ADIEU_SEED=N
// repeats one; ADIEU_RUNS says how many there are.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, randomFrom } from './world.js';

const RUNS = Number(process.env.ADIEU_RUNS ?? 300);
const STEPS = 120;
const chosen = (at) => (process.env.ADIEU_LONG ? Math.floor(Math.random() * 2 ** 31) : at + 1);
const seeds = process.env.ADIEU_SEED
  ? [Number(process.env.ADIEU_SEED)]
  : Array.from({ length: RUNS }, (_, at) => chosen(at));

class Tab {
  pages = [];
  sent = [];
  pushed = [];
  received = [];
  events = [];

  constructor(seed) {
    this.random = randomFrom(seed);
    this.world = new World();
    this.world.random = randomFrom(seed + 1);
    this.world.latency = () => this.below(this.slow ? 3000 : 20);
    this.world.gateway.copies = () => (this.chance(0.1) ? 2 : 1);
    this.world.gateway.saysResumed = () => this.chance(0.5);
    this.world.gateway.heartbeat = this.chance(0.5) ? 20_000 : 0;
    this.locks = this.chance(0.8);
    this.load(this.world.page({ locks: this.locks }));
  }

  below(n) {
    return Math.floor(this.random() * n);
  }

  chance(p) {
    return this.random() < p;
  }

  load(page) {
    this.page = page;
    this.pages.push(page);
    this.listen(page.open());
  }

  /** A handler sometimes answers. */
  listen(socket) {
    this.socket = socket;
    socket.onmessage = ({ data }) => {
      this.received.push(data);
      if (this.chance(0.3)) this.send();
    };
    socket.onended = ({ detail }) => this.events.push(detail.reason);
    socket.onwarning = ({ detail }) => this.events.push(detail.message);
  }

  send() {
    const text = `c${this.sent.length}`;
    this.sent.push(text);
    this.socket.send(text);
  }

  push() {
    const { session } = this.world.gateway;
    if (!session) return;
    const text = `g${this.pushed.length}`;
    this.pushed.push(text);
    this.world.gateway.push(session, text);
  }

  async crash() {
    // Between two tasks.
    await this.world.advance(0);
    this.page.crash();
    this.load(this.world.page({ storage: this.page.storage, locks: this.locks }));
  }

  /** To another page of the tab and back. */
  async visit() {
    const { page, socket } = this;
    page.hide(true);
    this.load(this.world.page({ storage: page.storage, locks: this.locks }));
    await this.world.advance(this.below(3000));
    if (this.chance(0.7)) this.send();
    await this.world.advance(this.below(100));
    this.page.hide(true);
    this.page.alive = false;
    this.page = page;
    this.socket = socket;
    page.show();
  }

  /** As a component that is unmounted and mounted again. */
  remount() {
    this.socket.detach();
    this.listen(this.page.open());
  }

  drain() {
    const { last } = this.world.gateway;
    last?.send({ type: 'closing', retryAfter: this.below(3000) });
    last?.close(1001, '');
  }

  /** A first visit on which all may go wrong: less than the 60 s for which it is known. */
  async firstVisit() {
    const { world } = this;
    const steps = this.below(20);
    const start = world.clock.now;
    for (let i = 0; i < steps && world.clock.now - start < 35_000; i++) {
      const { page } = this;
      await this.#one([
        [6, () => this.load(page.refresh({ locks: this.locks }))],
        [3, () => this.crash()],
        [3, () => world.cut()],
        [3, () => this.send()],
        [2, () => this.visit()],
        [2, () => (world.up = !world.up)],
        [2, () => (this.slow = !this.slow)],
        [1, () => page.online()],
      ]);
      await world.advance(this.chance(0.3) ? 0 : this.below(this.slow ? 2000 : 40));
    }
    world.up = true;
    this.slow = false;
    while (!world.gateway.session?.confirmed) await world.advance(100);
  }

  async #one(actions) {
    let at = this.below(actions.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, action] of actions) if ((at -= weight) < 0) return action();
  }

  async step() {
    const { world, page } = this;
    await this.#one([
      [20, () => this.send()],
      [20, () => this.push()],
      [8, () => world.cut()],
      [5, () => this.load(page.refresh({ locks: this.locks }))],
      [4, () => this.crash()],
      [3, () => this.visit()],
      [2, () => this.drain()],
      [2, () => (world.up = !world.up)],
      [2, () => (this.slow = !this.slow)],
      [2, () => page.look(this.chance(0.5) ? 'hidden' : 'visible')],
      [1, () => page.online()],
      [2, () => (world.gateway.acknowledges = !world.gateway.acknowledges)],
      [2, () => this.remount()],
    ]);
    // Often nothing: several things happen in one moment.
    await world.advance(this.chance(0.4) ? 0 : this.below(this.chance(0.1) ? 10_000 : 50));
  }

  async heal() {
    const { world, page } = this;
    world.up = true;
    this.slow = false;
    world.gateway.acknowledges = true;
    page.look('visible');
    await world.advance(60_000);
    world.cut();
    await world.advance(60_000);
  }
}

test(`both sides agree after ${seeds.length} random lives`, async () => {
  for (const seed of seeds) {
    const tab = new Tab(seed);
    const { gateway } = tab.world;
    const context = `ADIEU_SEED=${seed}`;
    try {
      await tab.firstVisit();
      for (let i = 0; i < STEPS; i++) await tab.step();
      await tab.heal();
      assert.deepEqual(tab.events, []);
      assert.deepEqual(gateway.violations, []);
      assert.equal(gateway.sessions.size, 1);
      assert.deepEqual(gateway.session.received, tab.sent);
      assert.deepEqual(tab.received, tab.pushed);
      assert.equal(gateway.session.acked, tab.pushed.length);
      assert.equal(tab.socket.bufferedAmount, 0);
      assert.equal(tab.socket.readyState, 1);
      for (const page of tab.pages) assert.ok(page.loads <= 1, 'loaded is told once in a page');
      assert.ok(gateway.session.loaded.length > 0);
    } catch (error) {
      error.message = `${context}: ${error.message}`;
      throw error;
    }
  }
  console.log(`seeds: ${seeds.length > 3 ? `${seeds.slice(0, 3)}, ...` : seeds}`);
});
