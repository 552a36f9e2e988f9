import { LOCK_PATIENCE, LOCK_STEP } from './limits.js';

/**
 * Tells a refreshed tab from a duplicated one, which has a copy of the first one's sessionStorage:
 * whoever holds the lock has the session.
 *
 * It is never queued for, since a queued request would be granted when the other tab goes. It is
 * asked for again for a moment, whatever kind of navigation led here: the page before may still be
 * going. (What a duplicated tab says of its navigation differs between browsers.)
 */
export class SessionLock {
  #name: string | undefined;
  #taken: Promise<boolean> | undefined;
  /** Of the last call that took or released: what an earlier one still does counts no more. */
  #turn = 0;
  #release: (() => void) | undefined;

  /** Answers whether the session is ours; true also where there are no locks. */
  take(name: string): Promise<boolean> {
    if (name !== this.#name) {
      this.release();
      this.#name = name;
      this.#taken = this.#try(name, this.#turn);
    }
    return this.#taken!;
  }

  release(): void {
    this.#turn++;
    this.#name = undefined;
    this.#release?.();
    this.#release = undefined;
  }

  async #try(name: string, turn: number): Promise<boolean> {
    // Not the wall clock, which may be set back.
    const start = performance.now();
    while (turn === this.#turn) {
      if (await this.#request(name, turn)) return true;
      const passed = performance.now() - start;
      if (passed >= LOCK_PATIENCE) break;
      await new Promise((resolve) => setTimeout(resolve, Math.min(LOCK_STEP, 1 + passed)));
    }
    if (turn === this.#turn) this.release();
    return false;
  }

  #request(name: string, turn: number): true | Promise<boolean> {
    const locks = globalThis.navigator?.locks;
    if (!locks) return true;
    return new Promise((resolve) => {
      const granted = (lock: Lock | null): Promise<void> | undefined => {
        // Released while it was asked for: given back at once.
        const held = lock && turn === this.#turn;
        resolve(!!held);
        return held ? new Promise((release) => (this.#release = release)) : undefined;
      };
      locks
        .request(`adieu:${name}`, { ifAvailable: true }, granted)
        // Forbidden, as in a sandboxed frame: as good as absent.
        .catch(() => resolve(true));
    });
  }
}
