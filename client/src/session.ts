import { DEFAULT_WINDOW } from './limits.js';
import { Outbox } from './outbox.js';
import { SessionStore, type Stored } from './session-store.js';
import type { Connected, Data } from './wire.js';

/** What this page knows of its session, and keeps for the page after it. */
export class Session {
  id: string | undefined;
  token: string | undefined;
  received = 0;
  window = DEFAULT_WINDOW;
  /** This page had a connection of it. */
  seen = false;
  readonly outbox: Outbox;
  #store: SessionStore;

  constructor(
    key: string,
    maxCount: number,
    maxBytes: number,
    onStoreFailure: (error: unknown) => void,
  ) {
    this.outbox = new Outbox(maxCount, maxBytes);
    this.#store = new SessionStore(key, onStoreFailure);
    const stored = this.#store.load();
    if (stored) this.#restore(stored);
  }

  save(): void {
    const { id: sessionId, token, received, window, outbox } = this;
    const { acked, tails } = outbox;
    this.#store.save({ sessionId, token, received, acked, window, tails });
  }

  /**
   * A page comes out of the back/forward cache: meanwhile another page of this tab may have gone
   * on with the session, or have got another one. Answers the id of the session that was replaced.
   */
  reload(): string | undefined {
    const stored = this.#store.load();
    if (!stored) return undefined;
    const { id } = this;
    this.#restore(stored);
    if (id === this.id) return undefined;
    this.seen = false;
    return id;
  }

  /** The gateway has told where the session stands. */
  connected({ sessionId, reconnectionToken, window, sequenceAck }: Connected): void {
    this.id = sessionId;
    this.token = reconnectionToken;
    this.window = window;
    this.seen = true;
    this.outbox.connected(sequenceAck);
  }

  /** A new one is to begin; answers the messages of the old one that are not acknowledged. */
  reset(all: boolean): Data[] {
    this.id = this.token = undefined;
    this.received = 0;
    this.seen = false;
    return this.outbox.take(all);
  }

  /** Nothing is kept for a later page. */
  forget(): void {
    this.#store.close();
  }

  #restore({ sessionId, token, received, window, acked, tails }: Stored): void {
    try {
      this.outbox.restore(acked, tails);
    } catch {
      return; // Somebody else wrote there: as if it were empty.
    }
    Object.assign(this, { id: sessionId, token, received, window });
  }
}
