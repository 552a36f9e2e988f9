import { HEAD_SIZE } from './limits.js';
import type { Outbox, Waiting } from './outbox.js';
import { decode, size } from './wire.js';

/** What survives a refresh, but for the messages. */
export interface Head {
  /** Random, 22 characters: names the lock of the session and the first visit. */
  name: string;
  /** When the name was made, ms since 1970. */
  madeAt: number;
  sessionId?: string | undefined;
  token?: string | undefined;
  /** The highest number that was received and dispatched, and the tag of that message. */
  received: number;
  tag: string;
  /** The highest number of ours that the gateway has acknowledged. */
  acked: number;
  /** Milliseconds, as the gateway told. */
  window: number;
}

interface StoredHead extends Head {
  /** The form of the entries. */
  adieu: 1;
  /** Messages `first`, `first + 1`... have entries of their own, `count` of them. */
  first: number;
  count: number;
}

export interface Stored {
  head: Head;
  first: number;
  messages: Waiting[];
}

/** Keys that a socket of this page uses: a second one for the same URL needs its own. */
const inUse = new Set<string>();

/**
 * One entry of sessionStorage for the token and the numbers, and one for each message. A message is
 * written once. What the first entry does not count is not there: it is written after the messages
 * that it counts, and before those are removed that it no longer counts.
 */
export class SessionStore {
  readonly key: string;
  /** Another socket may use the key, or nothing is kept any more. */
  #released = false;
  /** Messages that have entries, from the first to before the second; `undefined`: no entries. */
  #range: [number, number] | undefined;
  #warned = false;
  /** The first entry as this page has written it. */
  #written: string | undefined;

  /** @param onFailure is called once, with the first error. */
  constructor(
    key: string,
    private readonly onFailure: (error: unknown) => void,
  ) {
    while (inUse.has(key)) key += '+';
    inUse.add((this.key = key));
  }

  /**
   * `undefined` if there is nothing, or what somebody else has written, or what this page has
   * written: it knows more, if the storage did not take all of it.
   */
  load(): Stored | undefined {
    if (this.#released) return undefined;
    const { key } = this;
    try {
      const text = sessionStorage.getItem(key);
      if (text === this.#written) return undefined;
      this.#range = undefined;
      return text ? this.#read(key, text) : undefined;
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  save(head: Head, outbox: Outbox): void {
    if (this.#released) return;
    const { key } = this;
    const { first, count } = outbox;
    try {
      // Somebody may have cleared the storage, with the messages in it.
      if (sessionStorage.getItem(key) === null) this.#range = undefined;
      // The token before all else: where there is no space for messages, it has its own.
      if (!this.#range) this.#write(key, head, first, 0);
      const [from, stored] = (this.#range ??= [first, first]);
      let to = Math.max(stored, first);
      try {
        for (; to < first + count; to++) {
          sessionStorage.setItem(entry(key, to), outbox.tail(to - first));
        }
      } catch (error) {
        this.#failed(error);
      }
      this.#write(key, head, first, to - first);
      this.#range = [first, to];
      remove(key, from, first);
    } catch (error) {
      // An old state must not be found later: numbers would be given twice.
      this.#erase(key, first + count);
      this.#failed(error);
    }
  }

  /** Messages of these that have no entry: they are gone with the page. */
  unstored({ first, count }: Outbox): number {
    return count - Math.max(0, (this.#range?.[1] ?? first) - first);
  }

  /** The session is over for this page. */
  close(): void {
    if (!this.#released) this.#erase(this.key, 0);
    this.release();
  }

  /** Another socket goes on with what is stored. */
  release(): void {
    if (!this.#released) inUse.delete(this.key);
    this.#released = true;
  }

  #write(key: string, head: Head, first: number, count: number): void {
    const text = JSON.stringify({ adieu: 1, ...head, first, count } satisfies StoredHead);
    sessionStorage.setItem(key, (this.#written = text.padEnd(HEAD_SIZE)));
  }

  #read(key: string, text: string): Stored | undefined {
    try {
      const head: StoredHead = JSON.parse(text);
      if (!isHead(head)) return undefined;
      const { first, count } = head;
      const messages: Waiting[] = [];
      for (let at = first; at < first + count; at++) {
        const tail = sessionStorage.getItem(entry(key, at));
        if (tail === null) break;
        messages.push({ tail, size: size(decode(tail)) });
      }
      this.#range = [first, first + messages.length];
      // Left behind by a page that died while it removed them.
      for (let at = first; sessionStorage.getItem(entry(key, --at)) !== null; ) {
        sessionStorage.removeItem(entry(key, at));
      }
      return { head, first, messages };
    } catch {
      return undefined; // Not ours.
    }
  }

  #erase(key: string, end: number): void {
    try {
      const [from, to] = this.#range ?? [end, end];
      this.#range = undefined;
      sessionStorage.removeItem(key);
      remove(key, from, Math.max(to, end));
    } catch {
      // Then there is no storage at all.
    }
  }

  #failed(error: unknown): void {
    if (!this.#warned) this.onFailure(error);
    this.#warned = true;
  }
}

/** No URL has a space in it. */
const entry = (key: string, at: number): string => `${key} ${at}`;

const remove = (key: string, from: number, to: number): void => {
  for (; from < to; from++) sessionStorage.removeItem(entry(key, from));
};

const isHead = (head: StoredHead): boolean =>
  head.adieu === 1 &&
  /^[\w-]{22}$/.test(head.name) &&
  /^[\w-]*$/.test(head.token ?? '') &&
  [head.madeAt, head.received, head.acked, head.window, head.first, head.count].every(
    (number) => Number.isSafeInteger(number) && number >= 0,
  );
