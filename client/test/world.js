// Browsers without a browser: pages with their own globals, a network and a clock that stands
// still until told. Nothing here waits for real time.

import { readFileSync } from 'node:fs';
import { transformSync } from 'esbuild';
import { Clock } from './clock.js';
import { Gateway } from './gateway.js';

const built = (name) => {
  const bundle = readFileSync(new URL(`../dist/${name}`, import.meta.url), 'utf8');
  return transformSync(bundle, { format: 'cjs' }).code;
};
const core = built('index.js');

/** A repeatable Math.random (mulberry32). */
export const randomFrom = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

export class World {
  clock = new Clock();
  locks = new Locks();
  links = [];
  /** One way through the network, ms. */
  latency = () => 1;
  /** What Math.random is for the pages. */
  random = () => 0.5;
  /** Whether a connection can be made. */
  up = true;
  /** Whether packets get lost without a word. */
  swallows = false;
  gateway = new Gateway(this);
  #bytes = 0;

  /** Other ones each time, and the same ones in each run. */
  randomBytes(array) {
    return array.map(() => (this.#bytes = (this.#bytes * 73 + 41) % 65_521));
  }

  page(options = {}) {
    return new Page(this, options);
  }

  advance(ms) {
    return this.clock.advance(ms);
  }

  cut() {
    for (const link of this.links) link.cut();
  }
}

export class MemoryStorage {
  entries = new Map();
  /** Set to an error to have writing fail. */
  failure = undefined;
  /** Characters that fit in. As in browsers, an entry that does not grow can be written. */
  quota = Infinity;
  /** Characters that were written. */
  written = 0;
  writes = 0;

  getItem(key) {
    return this.entries.get(key) ?? null;
  }

  setItem(key, value) {
    if (this.failure) throw this.failure;
    const grows = value.length - (this.entries.get(key)?.length ?? -key.length);
    if (grows > 0 && this.size + grows > this.quota) {
      throw new DOMException('full', 'QuotaExceededError');
    }
    this.writes++;
    this.written += value.length;
    this.entries.set(key, value);
  }

  get size() {
    return [...this.entries].reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  }

  removeItem(key) {
    this.entries.delete(key);
  }

  copy() {
    const copy = new MemoryStorage();
    copy.entries = new Map(this.entries);
    return copy;
  }
}

class Locks {
  held = new Map();
  requests = [];

  /** The `navigator.locks` of a page. */
  of(page) {
    return {
      request: async (name, options, granted) => {
        this.requests.push({ name, options });
        await null;
        if (this.held.has(name)) return granted(null);
        this.held.set(name, page);
        const result = granted({ name });
        await result;
        if (this.held.get(name) === page) this.held.delete(name);
      },
    };
  }

  releaseAll(page) {
    for (const [name, holder] of this.held) if (holder === page) this.held.delete(name);
  }
}

class CloseEvent extends Event {
  constructor(type, init) {
    super(type);
    Object.assign(this, { code: 0, reason: '', wasClean: false }, init);
  }
}

/** Listeners run as the DOM standard has it: those that capture first, then the others. */
class PageTarget {
  #listeners = [];

  /** @param around hears too, as the window does what the document hears. */
  constructor(around) {
    this.around = around;
  }

  addEventListener(type, then, { capture = false, once = false, signal } = {}) {
    const listener = { type, then, capture, once, is: true };
    this.#listeners.push(listener);
    signal?.addEventListener('abort', () => this.#remove(listener));
  }

  removeEventListener(type, then) {
    for (const one of this.#listeners) {
      if (one.type === type && one.then === then) this.#remove(one);
    }
  }

  dispatchEvent(event) {
    this.around?.#invoke(event, true);
    this.#invoke(event, true);
    this.#invoke(event, false);
    this.around?.#invoke(event, false);
  }

  /** What is added meanwhile is not called. */
  #invoke(event, capture) {
    for (const listener of [...this.#listeners]) {
      if (!listener.is || listener.type !== event.type || listener.capture !== capture) continue;
      if (listener.once) this.#remove(listener);
      listener.then.call(this, event);
    }
  }

  #remove(listener) {
    listener.is = false;
    this.#listeners = this.#listeners.filter((one) => one !== listener);
  }
}

/** A page of a tab. */
export class Page {
  alive = true;
  frozen = false;
  /** Whether its browser can inflate messages of the backend; of one that cannot it is told 1006. */
  inflates = true;
  /** Set to an error that the browser throws instead of connecting. */
  forbids = undefined;
  sockets = [];

  constructor(world, { storage = new MemoryStorage(), locks = true, frame, loadedIn = 5 }) {
    const url = 'https://a.test/';
    this.world = world;
    this.storage = storage;
    /** `performance.now()` counts from here. */
    this.origin = world.clock.now - loadedIn;
    this.window = new PageTarget();
    this.document = new PageTarget(this.window);
    Object.assign(this.document, { visibilityState: 'visible', baseURI: url });
    if (frame !== undefined) this.window.self = { parent: {}, name: frame };
    const navigator = locks ? { locks: world.locks.of(this) } : {};
    const globals = this.#globals(navigator, world);
    Object.assign(this.window, globals, { globalThis: this.window });
    this.globals = globals;
    this.client = this.run(core);
    this.AdieuSocket = this.client.AdieuSocket;
  }

  /** Answers what a module exports that sees this page as its world. */
  run(code, modules = {}) {
    const names = Object.keys(this.globals);
    const module = { exports: {} };
    new Function('module', 'require', 'globalThis', ...names, code)(
      module, (name) => modules[name], this.window, ...names.map((name) => this.globals[name]),
    );
    return module.exports;
  }

  /** What `@adieu/client/react` exports. */
  react(React) {
    return this.run(built('react.js'), { react: React, '@adieu/client': this.client });
  }

  #globals(navigator, world) {
    const page = this;
    const { clock } = world;
    const runs = () => this.alive && !this.frozen;
    return {
      navigator,
      document: this.document,
      sessionStorage: this.storage,
      CloseEvent,
      Math: Object.assign(Object.create(Math), {
        random: () => world.random(), min: Math.min, max: Math.max, imul: Math.imul,
      }),
      Date: { now: () => clock.wall },
      performance: { now: () => clock.now - this.origin },
      crypto: { getRandomValues: (array) => world.randomBytes(array) },
      setTimeout: (then, ms) => clock.add(then, ms, undefined, runs),
      setInterval: (then, ms) => clock.add(then, ms, ms, runs),
      clearTimeout: (id) => clock.remove(id),
      clearInterval: (id) => clock.remove(id),
      WebSocket: class extends FakeWebSocket {
        constructor(url, protocols) {
          if (page.forbids) throw page.forbids;
          super(page, url, protocols);
        }
      },
    };
  }

  /** A socket that notes its events. */
  open(url = 'wss://a.test/live', options) {
    const socket = new this.AdieuSocket(url, options);
    socket.log = [];
    for (const type of ['open', 'message', 'close', 'error', 'resumed', 'ended', 'interrupted',
      'warning']) {
      socket.addEventListener(type, (event) => socket.log.push(event));
    }
    return socket;
  }

  /** Whoever looks at it is told of it as the HTML standard has it, in this order. */
  hide(persisted = false) {
    this.wasSeen = this.document.visibilityState === 'visible';
    this.window.dispatchEvent(Object.assign(new Event('pagehide'), { persisted }));
    if (this.wasSeen) this.look('hidden');
    this.frozen = persisted;
  }

  show() {
    this.frozen = false;
    if (this.wasSeen) this.look('visible');
    this.window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  }

  look(visibilityState) {
    this.document.visibilityState = visibilityState;
    this.document.dispatchEvent(new Event('visibilitychange'));
  }

  online() {
    this.window.dispatchEvent(new Event('online'));
  }

  /** Its process dies. */
  crash() {
    this.alive = false;
    this.world.locks.releaseAll(this);
    for (const socket of this.sockets) socket.link.cut();
  }

  /** Refreshed: answers the next page of the tab. */
  refresh(options = {}) {
    this.hide();
    this.alive = false;
    this.world.locks.releaseAll(this);
    return this.world.page({ storage: this.storage, ...options });
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /** How often it has told how long it took to load. */
  get loads() {
    return this.sockets.flatMap(({ sent }) => sent).filter(({ type }) => type === 'loaded').length;
  }
}

/** Both directions of a connection, in order. */
class Link {
  open = true;
  #last = { client: 0, server: 0 };

  constructor(world, page) {
    this.world = world;
    this.page = page;
    world.links.push(this);
  }

  /** Has something happen at one end after the network's delay, after all that went before. */
  deliver(to, then) {
    const at = Math.max(this.#last[to], this.world.clock.now + this.world.latency());
    this.#last[to] = at;
    this.world.clock.add(() => this.open && then(), at - this.world.clock.now);
  }

  /** What is under way is lost, and both ends are told nothing but that. */
  cut() {
    if (!this.open) return;
    this.open = false;
    this.world.links.splice(this.world.links.indexOf(this), 1);
    this.world.clock.add(() => this.client.ended(1006, '', false), 1);
    this.world.clock.add(() => this.server?.ended(1006), 1);
  }

  /** Both have said Close. */
  end(code, reason) {
    this.open = false;
    this.world.links.splice(this.world.links.indexOf(this), 1);
    this.client.ended(code, reason, true);
  }
}

class FakeWebSocket extends EventTarget {
  readyState = 0;
  protocol = '';
  extensions = '';
  sent = [];

  constructor(page, url, protocols) {
    super();
    for (const protocol of protocols) {
      if (!/^[\w.~-]+$/.test(protocol)) throw new DOMException(protocol, 'SyntaxError');
    }
    const { world } = page;
    Object.assign(this, { page, url, protocols, at: world.clock.now });
    page.sockets.push(this);
    this.link = new Link(world, page);
    this.link.client = this;
    const { up, swallows } = world;
    this.link.deliver('server', () => {
      if (swallows) return;
      if (!up || !world.up) return this.link.cut();
      this.link.server = world.gateway.accept(this.link, protocols);
    });
  }

  /** The gateway has selected a subprotocol, and what else it has agreed on. */
  accepted(protocol, extensions) {
    this.readyState = 1;
    this.protocol = protocol;
    this.extensions = extensions;
    this.#dispatch(new Event('open'));
  }

  receive(data) {
    const compressed = this.extensions && JSON.parse(data).type === 'message';
    if (compressed && !this.page.inflates) return this.link.cut();
    if (this.readyState === 1) this.#dispatch(new MessageEvent('message', { data }));
  }

  ended(code, reason, wasClean) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.#dispatch(new CloseEvent('close', { code, reason, wasClean }));
  }

  send(text) {
    if (this.readyState === 0) throw new DOMException('CONNECTING', 'InvalidStateError');
    if (this.readyState !== 1) return;
    this.sent.push(JSON.parse(text));
    this.link.deliver('server', () => this.link.server.receive(text));
  }

  close(code, reason) {
    if (this.readyState > 1) return;
    this.closedWith = { code, reason };
    const connected = this.readyState === 1;
    this.readyState = 2;
    if (!connected) return this.link.cut();
    this.link.deliver('server', () => this.link.server.closed(code));
  }

  #dispatch(event) {
    if (this.page.alive && !this.page.frozen) this.dispatchEvent(event);
  }
}
