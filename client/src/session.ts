import { DEFAULT_WINDOW, FIRST_VISIT } from './limits.js';
import { Outbox } from './outbox.js';
import { SessionStore, type Stored } from './session-store.js';
import { type Connected, type Data, base64url, first, resume } from './wire.js';

/** What this page knows of its session, and keeps for the page after it. */
export class Session {
  id: string | undefined;
  token: string | undefined;
  received = 0;
  /** Of the message `received`. */
  tag = '';
  window = DEFAULT_WINDOW;
  /** This page had a connection of it. */
  seen = false;
  readonly outbox: Outbox;
  /** Names the lock, and the first visit as long as there is no token. */
  #name: string | undefined;
  #madeAt = 0;
  #store: SessionStore;

  constructor(
    key: string,
    maxCount: number,
    maxBytes: number,
    onStoreFailure: (error: unknown) => void,
  ) {
    this.outbox = new Outbox(maxCount, maxBytes);
    this.#store = new SessionStore(key, onStoreFailure);
    this.#restore(this.#store.load());
  }

  /** Its own among the sockets of this page. */
  get key(): string {
    return this.#store.key;
  }

  /**
   * Answers the name of the session's lock. A first visit has a name of its own too, which is made
   * and stored before anything is sent, and not used for longer than the gateway keeps it.
   */
  claim(): string {
    const age = Date.now() - this.#madeAt;
    if (!this.#name || (!this.token && !(age >= 0 && age < FIRST_VISIT))) {
      this.#name = base64url(crypto.getRandomValues(new Uint8Array(16)));
      this.#madeAt = Date.now();
      this.save();
    }
    return this.#name;
  }

  /** What a connection offers, so that the gateway knows the session. */
  get offer(): string {
    const { token, received, tag, outbox } = this;
    return token ? resume(token, received, tag, outbox.acked) : first(this.claim());
  }

  save(): void {
    const { id: sessionId, token, received, tag, window, outbox } = this;
    const name = this.#name ?? (outbox.count ? this.claim() : undefined);
    if (!name) return;
    const { acked } = outbox;
    const madeAt = this.#madeAt;
    this.#store.save({ name, madeAt, sessionId, token, received, tag, acked, window }, outbox);
  }

  /**
   * A page comes out of the back/forward cache: meanwhile another page of this tab may have gone
   * on with the session, or have got another one. Answers the id of the session that was replaced.
   */
  reload(): string | undefined {
    const { id } = this;
    this.#restore(this.#store.load());
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
    this.id = this.token = this.#name = undefined;
    this.received = 0;
    this.tag = '';
    this.seen = false;
    return this.outbox.take(all);
  }

  /** Nothing is kept for a later page. */
  forget(): void {
    this.#store.close();
  }

  /** What is stored is another socket's from now on; answers the messages that are not stored. */
  release(): Data[] {
    const unstored = this.#store.unstored(this.outbox);
    this.#store.release();
    const waiting = this.outbox.take(true);
    return waiting.slice(waiting.length - unstored);
  }

  #restore(stored: Stored | undefined): void {
    if (!stored) return;
    const { head, first, messages } = stored;
    this.outbox.restore(head.acked, first, messages);
    const { name, madeAt, sessionId: id, token, received, tag, window } = head;
    this.#name = name;
    this.#madeAt = madeAt;
    Object.assign(this, { id, token, received, tag, window });
  }
}
