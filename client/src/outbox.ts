import { type Data, decode, encode, numbered, size } from './wire.js';

interface Entry {
  tail: string;
  size: number;
}

/** Outgoing messages, kept until the gateway has acknowledged them. */
export class Outbox {
  #entries: Entry[] = [];
  /** Messages at the front that have their number: they may have left the page. */
  #numbered = 0;
  /** Messages at the front that left on the present connection. */
  #sent = 0;
  /** The highest number that the gateway has acknowledged. */
  acked = 0;
  bytes = 0;

  constructor(
    private readonly maxCount: number,
    private readonly maxBytes: number,
  ) {}

  get count(): number {
    return this.#entries.length;
  }

  get tails(): string[] {
    return this.#entries.map((entry) => entry.tail);
  }

  /** What an earlier page, or this one before it was frozen, has left behind. */
  restore(acked: number, tails: string[]): void {
    this.#entries = tails.map((tail) => ({ tail, size: size(decode(tail)) }));
    this.bytes = this.#entries.reduce((sum, entry) => sum + entry.size, 0);
    this.#numbered = tails.length;
    this.acked = acked;
  }

  push(data: Data): void {
    const bytes = size(data);
    if (this.#entries.length >= this.maxCount || this.bytes + bytes > this.maxBytes) {
      throw new DOMException(
        `too much is unacknowledged: ${this.#entries.length} messages, ${this.bytes} bytes`,
        'QuotaExceededError',
      );
    }
    this.#entries.push({ tail: encode(data), size: bytes });
    this.bytes += bytes;
  }

  /** Answers whether it was an acknowledgement of something that was sent. */
  acknowledge(id: number): boolean {
    if (!(id <= this.acked + this.#sent)) return false;
    this.#drop(Math.max(0, id - this.acked));
    return true;
  }

  /** A connection begins; of the session the gateway has committed all up to `id`. */
  connected(id: number): void {
    this.#drop(Math.min(Math.max(0, id - this.acked), this.#numbered));
    this.acked = id;
    this.#sent = 0;
  }

  /** What has not left on this connection, in order. From here on it has its numbers. */
  *unsent(): Generator<string> {
    while (this.#sent < this.#entries.length) {
      const { tail } = this.#entries[this.#sent++]!;
      this.#numbered = Math.max(this.#numbered, this.#sent);
      yield numbered(this.acked + this.#sent, tail);
    }
  }

  /** The session is over: takes out its messages, or only those that may have left. */
  take(all: boolean): Data[] {
    const taken = this.#drop(all ? this.#entries.length : this.#numbered);
    this.acked = this.#numbered = this.#sent = 0;
    return taken.map((entry) => decode(entry.tail));
  }

  #drop(count: number): Entry[] {
    const dropped = this.#entries.splice(0, count);
    for (const entry of dropped) this.bytes -= entry.size;
    this.acked += count;
    this.#numbered = Math.max(0, this.#numbered - count);
    this.#sent = Math.max(0, this.#sent - count);
    return dropped;
  }
}
