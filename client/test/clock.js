const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Time that goes on when told. */
export class Clock {
  now = 1_000_000;
  /** The wall clock is so much ahead. */
  ahead = 1_760_000_000_000;
  #timers = new Map();
  #id = 0;

  get wall() {
    return this.now + this.ahead;
  }

  /** Nothing runs for so long; then all that is due does, the oldest first. */
  async block(ms) {
    await settle();
    this.now += ms;
    await this.advance(0);
  }

  add(then, ms = 0, every = undefined, runs = () => true) {
    const id = ++this.#id;
    this.#timers.set(id, { at: this.now + Math.max(0, ms), then, every, runs });
    return id;
  }

  remove(id) {
    this.#timers.delete(id);
  }

  /** Has everything happen that is due, one after the other, each with its microtasks. */
  async advance(ms) {
    const end = this.now + ms;
    await settle();
    for (;;) {
      const next = this.#next(end);
      if (!next) break;
      const [id, timer] = next;
      this.now = Math.max(this.now, timer.at);
      if (timer.every) timer.at += timer.every;
      else this.#timers.delete(id);
      if (timer.runs()) timer.then();
      await settle();
    }
    this.now = end;
  }

  #next(end) {
    let first;
    for (const entry of this.#timers) {
      if (entry[1].at <= end && (!first || entry[1].at < first[1].at)) first = entry;
    }
    return first;
  }
}
