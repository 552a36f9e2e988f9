/** What survives a refresh. */
export interface Stored {
  sessionId: string | undefined;
  token: string | undefined;
  /** The highest number that was received and dispatched. */
  received: number;
  /** The highest number of ours that the gateway has acknowledged. */
  acked: number;
  /** Milliseconds, as the gateway told. */
  window: number;
  /** Unacknowledged messages without their numbers, which follow `acked`. */
  tails: string[];
}

/** Keys that a socket of this page uses: a second one for the same URL needs its own. */
const inUse = new Set<string>();

/**
 * One entry of sessionStorage: a line of JSON, then a line for each message, so that writing it
 * again need not encode the messages again.
 */
export class SessionStore {
  #key: string | undefined;

  /** @param onFailure is called once: from then on nothing is stored. */
  constructor(
    key: string,
    private readonly onFailure: (error: unknown) => void,
  ) {
    while (inUse.has(key)) key += '+';
    inUse.add((this.#key = key));
  }

  /** `undefined` if there is nothing, or nothing that can be read. */
  load(): Stored | undefined {
    return this.#access((storage, key) => {
      const [head, ...tails] = storage.getItem(key)?.split('\n') ?? [];
      try {
        return head ? { ...JSON.parse(head), tails } : undefined;
      } catch {
        return undefined;
      }
    });
  }

  save({ tails, ...head }: Stored): void {
    this.#access((storage, key) => {
      storage.setItem(key, [JSON.stringify(head), ...tails].join('\n'));
    });
  }

  /** The session is over for this page, or goes on without the store. */
  close(): void {
    this.#access((storage, key) => storage.removeItem(key));
    this.#forget();
  }

  #forget(): void {
    if (this.#key) inUse.delete(this.#key);
    this.#key = undefined;
  }

  #access<T>(use: (storage: Storage, key: string) => T): T | undefined {
    if (!this.#key) return undefined;
    try {
      return use(sessionStorage, this.#key);
    } catch (error) {
      this.#fail(this.#key);
      this.onFailure(error);
      return undefined;
    }
  }

  /** An old state must not be found later: numbers would be given twice. */
  #fail(key: string): void {
    this.#forget();
    try {
      sessionStorage.removeItem(key);
    } catch {
      // Then there is no storage at all.
    }
  }
}
