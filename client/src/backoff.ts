import {
  BACKOFF_BASE,
  BACKOFF_FLOOR,
  BACKOFF_MAX,
  BACKOFF_SHARE,
  STABLE,
} from './limits.js';

/**
 * How long to wait before the next try. Full jitter: clients that lost the same gateway do not come
 * back in step. While the gateway keeps the session the tries are close together; after that
 * nothing is in a hurry any more, and a gateway that is down is left alone more and more.
 */
export class Backoff {
  #cap = BACKOFF_BASE;
  /** When the last connection was lost, or the first try failed. */
  #lostAt: number | undefined;

  /** A connection on which the session went on was lost, after so many ms. */
  lost(lasted: number): void {
    this.#lostAt = undefined;
    if (lasted >= STABLE) this.#cap = BACKOFF_BASE;
  }

  /** `window`: ms for which the gateway keeps the session after it lost the connection. */
  next(window: number): number {
    const now = performance.now();
    this.#lostAt ??= now;
    const limit = now - this.#lostAt < window ? window / BACKOFF_SHARE : BACKOFF_MAX;
    const cap = Math.min(this.#cap, limit);
    this.#cap = cap * 2;
    return BACKOFF_FLOOR + Math.random() * Math.max(0, cap - BACKOFF_FLOOR);
  }
}
