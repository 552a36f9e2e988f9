import { fail } from './arguments.js';
import { MAX_MESSAGE } from './limits.js';
import { type Data, decode, encode, numbered, size } from './wire.js';

const QUOTA = 'QuotaExceededError';

/** A message that waits. */
export interface Waiting {
  tail: string;
  size: number;
}

/** Outgoing messages, kept until the gateway has acknowledged them. */
export class Outbox {
  #entries: Waiting[] = [];
  /** Messages at the front that have their number: they may have left the page. */
  #numbered = 0;
  /** Messages at the front that left on the present connection. */
  #sent = 0;
  #maxCount: number;
  #maxBytes: number;
  /** Counts on from session to session: the name of the first message in the storage. */
  first = 0;
  /** The highest number that the gateway has acknowledged. */
  acked = 0;

  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#entries.reduce((sum, entry) => sum + entry.size, 0);
  }

  get count(): number {
    return this.#entries.length;
  }

  tail(at: number): string {
    return this.#entries[at]!.tail;
  }

  /** What an earlier page has left behind. */
  restore(acked: number, first: number, entries: Waiting[]): void {
    this.#entries = entries;
    this.#numbered = entries.length;
    this.first = first;
    this.acked = acked;
  }

  push(data: Data): void {
    const bytes = size(data);
    const largest = Math.min(this.#maxBytes, MAX_MESSAGE);
    // FAQ: client-too-large
    if (bytes > largest) fail(`the message is too large: ${bytes} bytes, ${largest} at most`, QUOTA);
    if (this.count >= this.#maxCount || this.bytes + bytes > this.#maxBytes) {
      // FAQ: client-too-much
      fail(`too much is unacknowledged: ${this.count} messages, ${this.bytes} bytes`, QUOTA);
    }
    this.#entries.push({ tail: encode(data), size: bytes });
  }

  /** Answers whether it was an acknowledgement of something that was sent. */
  acknowledge(id: number): boolean {
    const isOfSent = id <= this.acked + this.#sent;
    if (isOfSent) this.#drop(id - this.acked);
    return isOfSent;
  }

  /** A connection begins; of the session the gateway has committed all up to `id`. */
  connected(id: number): void {
    this.#drop(Math.min(id - this.acked, this.#numbered));
    this.acked = id;
    this.#sent = 0;
  }

  /** What has not left on this connection, in order. From here on it has its numbers. */
  *unsent(): Generator<string> {
    while (this.#sent < this.count) {
      const { tail } = this.#entries[this.#sent++]!;
      this.#numbered = Math.max(this.#numbered, this.#sent);
      yield numbered(this.acked + this.#sent, tail);
    }
  }

  /** The session is over: takes out its messages, or only those that may have left. */
  take(all: boolean): Data[] {
    const taken = this.#drop(all ? this.count : this.#numbered);
    this.acked = this.#numbered = this.#sent = 0;
    return taken.map((entry) => decode(entry.tail));
  }

  /** Drops the first ones, if any. */
  #drop(count: number): Waiting[] {
    const dropped = this.#entries.splice(0, count);
    const { length } = dropped;
    this.first += length;
    this.acked += length;
    this.#numbered = Math.max(0, this.#numbered - length);
    this.#sent = Math.max(0, this.#sent - length);
    return dropped;
  }
}
