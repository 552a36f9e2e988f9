import { deadline } from './deadline.js';
import {
  ACK_COUNT,
  ACK_DELAY,
  ANSWER_LIMIT,
  CONNECT_LIMIT,
  LONG_HIDDEN,
  PROBE_LIMIT,
} from './limits.js';
import { isVisible } from './page.js';
import { type FromGateway, GIVEN_UP, HEARTBEAT, SUBPROTOCOL, acknowledgement } from './wire.js';

/** What a connection tells; nothing any more once it was closed from here. */
export interface Listener {
  message(message: FromGateway): void;
  /** The server does not speak adieu.v1. */
  unsupported(): void;
  /** It ended, or was given up; `violation`: because the gateway said what it must not. */
  lost(code: number, reason: string, wasClean: boolean, violation?: boolean): void;
}

/** One WebSocket, with the timers that live as long as it does. */
export class Connection {
  #listener: Listener;
  #socket: WebSocket;
  #listening = new AbortController();
  #beat: ReturnType<typeof setInterval> | undefined;
  /** Calls off the limit until which something must have come. */
  #limit: (() => void) | undefined;
  /** When something came, or was last to be expected; by the wall clock, which counts sleep. */
  #heardAt = 0;
  /** Between heartbeats, ms; `undefined` until the session goes on with this connection. */
  #interval: number | undefined;
  #owed = 0;
  #highest = 0;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, protocols: string[], listener: Listener) {
    this.#listener = listener;
    const socket = (this.#socket = new WebSocket(url, protocols));
    const { signal } = this.#listening;
    const opened = (): unknown => socket.protocol === SUBPROTOCOL || listener.unsupported();
    socket.addEventListener('open', opened, { signal });
    socket.addEventListener('message', ({ data }) => this.#read(data), { signal });
    // The code decides, never `wasClean`: browsers give it for other reasons too.
    socket.addEventListener(
      'close',
      ({ code, reason, wasClean }) => {
        this.#stop();
        listener.lost(code, reason, wasClean);
      },
      { signal },
    );
    // FAQ: client-not-connected
    this.#limit = deadline(CONNECT_LIMIT, () => this.fail('no answer to the connection'));
  }

  /** What was agreed on beside the subprotocol: compression, or nothing. */
  get extensions(): string {
    return this.#socket.extensions;
  }

  /** The session goes on with it; `heartbeat`: ms, 0 = none. */
  start(heartbeat: number): void {
    this.#heard();
    this.#interval = heartbeat;
    this.visible(isVisible());
  }

  /** A page that is not seen has slow timers, or is stopped: it proves nothing then. */
  visible(visible: boolean): void {
    clearInterval(this.#beat);
    if (!visible) this.#heard();
    else if (this.#interval) {
      this.#beat = setInterval(() => this.probe(ANSWER_LIMIT), this.#interval);
    }
  }

  /** The page was hidden for long, and nothing has come: it may be gone since. */
  get isDoubtful(): boolean {
    return Date.now() - this.#heardAt > LONG_HIDDEN;
  }

  /** Asks for an answer, and gives the connection up if nothing comes. */
  probe(limit = PROBE_LIMIT): void {
    this.send(HEARTBEAT);
    // FAQ: client-no-heartbeat
    this.#limit ??= deadline(limit, () => this.fail('no answer to a heartbeat'));
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  /** `count` more messages are to be acknowledged, all up to `highest`. */
  owe(highest: number, count: number): void {
    this.#highest = highest;
    this.#owed += count;
    if (this.#owed >= ACK_COUNT) this.acknowledge();
    else if (this.#owed) this.#ackTimer ??= setTimeout(() => this.acknowledge(), ACK_DELAY);
  }

  acknowledge(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.#owed) this.send(acknowledgement(this.#highest));
    this.#owed = 0;
  }

  /** Says Close and goes on listening for the answer. */
  close(code: number, reason: string): void {
    this.acknowledge();
    this.#socket.close(code, reason);
  }

  /** Leaves it, whatever becomes of it. */
  abandon(reason: string, code: number): void {
    this.#stop();
    this.#socket.close(code, reason);
  }

  /** Gives it up and tells so. */
  fail(reason: string, violation = false): void {
    this.abandon(reason, GIVEN_UP);
    this.#listener.lost(1006, reason, false, violation);
  }

  #read(data: unknown): void {
    let message: FromGateway;
    try {
      message = JSON.parse(data as string);
      if (!(message instanceof Object)) throw 0;
    } catch {
      // FAQ: client-no-json
      return this.fail('the gateway sent no JSON object', true);
    }
    // Whatever it is, it proves that the gateway is there.
    if (this.#interval !== undefined) this.#heard();
    this.#listener.message(message);
  }

  #heard(): void {
    this.#limit?.();
    this.#limit = undefined;
    this.#heardAt = Date.now();
  }

  #stop(): void {
    this.#listening.abort();
    this.#heard();
    clearInterval(this.#beat);
    clearTimeout(this.#ackTimer);
  }
}
