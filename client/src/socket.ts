import { closeCode, closeReason, outgoing, socketUrl } from './arguments.js';
import { backoff } from './backoff.js';
import { Connection } from './connection.js';
import { AdieuEvents, type EndedDetail, type EndedReason, defineHandlers } from './events.js';
import { type Leaving, type Life, isMistake, isViolation } from './life.js';
import { LEAVE_LIMIT, MAX_BYTES, MAX_COUNT, MAX_VIOLATIONS, STABLE } from './limits.js';
import { SessionLock } from './lock.js';
import { Session } from './session.js';
import {
  type Connected,
  type Data,
  type FromGateway,
  GOODBYE,
  type Incoming,
  MAY_RETURN,
  REFUSED,
  SUBPROTOCOL,
  SUPERSEDED,
  isFinal,
  offer,
  payload,
} from './wire.js';

export interface AdieuSocketOptions {
  /** Messages that may be unacknowledged; 1,000 by default. */
  maxUnacknowledgedMessages?: number;
  /** Bytes that may be unacknowledged; 1 MiB by default. */
  maxUnacknowledgedBytes?: number;
  /**
   * The key in sessionStorage; made from the URL by default. Frames of one tab share its
   * sessionStorage: sockets for the same URL in several of them need a key each.
   */
  storageKey?: string;
}

/** A WebSocket whose session outlives its connections and the page's refresh. */
export class AdieuSocket extends AdieuEvents {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;

  readonly url: string;

  #life: Life = { at: 'locking' };
  #leaving: Leaving | undefined;
  #session: Session;
  #lock = new SessionLock();
  #listening = new AbortController();
  /** Tries since the last good connection. */
  #attempt = 0;
  /** What the gateway's `closing` said, ms. */
  #retryAfter: number | undefined;
  /** Connections in a row that ended in a violation. */
  #violations = 0;
  /** Two pages that take the session from each other would never end: once is enough. */
  #forked = false;
  /** Received and not yet acknowledged. */
  #owed = 0;
  #scheduled = false;

  constructor(url: string | URL, options: AdieuSocketOptions = {}) {
    super();
    this.url = socketUrl(url);
    this.#session = new Session(
      options.storageKey ?? `adieu:${this.url}`,
      options.maxUnacknowledgedMessages ?? MAX_COUNT,
      options.maxUnacknowledgedBytes ?? MAX_BYTES,
      (error) => {
        const message = `sessionStorage: ${error}`;
        queueMicrotask(() => this.#emit('warning', { message }));
      },
    );
    const { signal } = this.#listening;
    const on = (target: EventTarget | undefined, type: string, then: (e: Event) => void): void =>
      target?.addEventListener?.(type, then, { signal });
    on(globalThis, 'pagehide', () => this.#hide());
    on(globalThis, 'pageshow', (e) => (e as PageTransitionEvent).persisted && this.#show());
    on(globalThis, 'online', () => this.#hurry());
    on(globalThis.document, 'visibilitychange', () => this.#look());
    // Nobody listens yet.
    queueMicrotask(() => this.#life.at === 'locking' && this.#begin());
  }

  /** `OPEN` while there is a connection, `CONNECTING` while there is none yet or again. */
  get readyState(): 0 | 1 | 2 | 3 {
    if (this.#life.at === 'closed') return 3;
    if (this.#leaving) return 2;
    return this.#life.at === 'open' ? 1 : 0;
  }

  get protocol(): string {
    return this.#session.seen ? SUBPROTOCOL : '';
  }

  get extensions(): string {
    return '';
  }

  /** Bytes that the gateway has not acknowledged. */
  get bufferedAmount(): number {
    return this.#session.outbox.bytes;
  }

  /** Always `arraybuffer`. */
  get binaryType(): 'arraybuffer' {
    return 'arraybuffer';
  }

  set binaryType(type: 'arraybuffer') {
    if (type !== 'arraybuffer') throw new DOMException('only arraybuffer', 'NotSupportedError');
  }

  /** Empty before the first connection and after the end. */
  get sessionId(): string {
    return this.#session.id ?? '';
  }

  /**
   * Keeps a message until the gateway has acknowledged it. Works without a connection too.
   *
   * Throws `QuotaExceededError` if too much is unacknowledged, `InvalidStateError` after
   * `close()` or `goodbye()`, `TypeError` for other types; the message is not taken then.
   */
  send(data: string | ArrayBuffer | ArrayBufferView): void {
    if (this.readyState > 1) throw new DOMException('it is closed', 'InvalidStateError');
    this.#session.outbox.push(outgoing(data));
    this.#schedule();
  }

  /** Leaves for good. What was sent before is delivered first. */
  goodbye(): void {
    this.#leave('goodbye');
  }

  /**
   * Leaves for good, with a code: 1000 or 4000 to 4999 without 4001, which means the opposite.
   * Throws `InvalidAccessError` for others, `SyntaxError` for a reason of more than 123 bytes.
   */
  close(code = 1000, reason = ''): void {
    this.#leave('closed', closeCode(code), closeReason(reason));
  }

  /** The only way from one state to another. */
  #become<T extends Life>(next: T, why = ''): T {
    const last: Life = this.#life;
    if (last.at === 'waiting') clearTimeout(last.timer);
    if ('connection' in last && !('connection' in next && next.connection === last.connection)) {
      last.connection.abandon(why, next.at === 'closed' ? 1000 : MAY_RETURN);
    }
    this.#life = next;
    return next;
  }

  async #begin(): Promise<void> {
    const life = this.#become({ at: 'locking' });
    const { id, seen } = this.#session;
    const ours = !id || (await this.#lock.take(id));
    if (this.#life !== life) return;
    if (!ours) {
      // The stored messages are the other tab's; they are told only to a page that sent them.
      const ended = this.#ended('superseded', 0, 'another tab has it', true, true);
      if (seen) this.#emit('ended', ended);
      if (this.#life !== life) return;
    }
    this.#connect();
  }

  #connect(): void {
    const { token, received } = this.#session;
    this.#retryAfter = undefined;
    try {
      const connection = new Connection(this.url, offer(token, received), {
        message: (message) => this.#read(connection, message),
        unsupported: () => this.#finish('unsupported', 1006, `${SUBPROTOCOL} was not selected`),
        lost: (...how) => this.#lost(...how),
      });
      this.#become({ at: 'connecting', connection });
    } catch (error) {
      this.#finish('blocked', 1006, String(error));
    }
  }

  #read(connection: Connection, message: FromGateway): void {
    const open = this.#life.at === 'open';
    switch (message.type) {
      case 'connected':
        if (open) return connection.fail('connected came twice', true);
        return this.#connected(connection, message);
      case 'refused':
        return this.#finish('refused', REFUSED, message.reason);
      case 'closing':
        this.#retryAfter = message.retryAfter;
        return;
      case 'message':
        if (!open || !this.#receive(message)) connection.fail('a message is missing', true);
        return;
      case 'sequenceAck':
        if (!open || !this.#session.outbox.acknowledge(message.sequenceId)) {
          return connection.fail('an acknowledgement of what was never sent', true);
        }
        this.#violations = 0;
        this.#schedule();
    }
  }

  #connected(connection: Connection, message: Connected): void {
    const { generation, resumed, reason = 'lost', heartbeat } = message;
    const { token, seen } = this.#session;
    let ended: EndedDetail | undefined;
    if (token && !resumed) {
      const { said, reason: wish } = this.#leaving ?? {};
      if (wish) return this.#finish(said ? wish : reason, 1006, reason);
      ended = this.#ended(reason, 1006, '', reason === 'stale', true);
    }
    const life = this.#become({ at: 'open', connection, since: Date.now() });
    // The token is stored before anything is sent that makes the one before it worthless.
    this.#session.connected(message);
    this.#flush();
    connection.start(heartbeat);
    void this.#lock.take(message.sessionId);
    if (this.#leaving) return this.#sayLeave(connection);
    if (ended) this.#emit('ended', ended);
    if (this.#life !== life || this.#leaving) return;
    if (resumed) this.#emit('resumed', { generation, afterPageLoad: !seen });
    else this.#emit('open');
  }

  /** Answers whether the message is as it must be. */
  #receive(message: Incoming): boolean {
    const session = this.#session;
    const id = message.sequenceId;
    if (!(id <= session.received)) {
      let data: Data;
      try {
        data = payload(message);
      } catch {
        return false;
      }
      if (id !== session.received + 1) return false;
      const { origin } = new URL(this.url);
      this.dispatchEvent(new MessageEvent('message', { data, origin }));
      // Only now, so that a page that dies in between gets it again; and in the same task, so
      // that what was sent in answer is stored with it.
      session.received = id;
      this.#violations = 0;
    }
    this.#owed++;
    this.#schedule();
    return true;
  }

  /** All that one task has to store and to send is stored and sent together. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#scheduled && this.#flush());
  }

  /** What is sent or acknowledged is stored before. */
  #flush(): void {
    this.#scheduled = false;
    if (this.#life.at === 'closed') return;
    this.#session.save();
    if (this.#life.at !== 'open') return;
    const { connection } = this.#life;
    for (const text of this.#session.outbox.unsent()) connection.send(text);
    connection.owe(this.#session.received, this.#owed);
    this.#owed = 0;
  }

  #lost(code: number, reason: string, wasClean: boolean, violation = false): void {
    const { said, code: own, reason: wish } = this.#leaving ?? {};
    if (said && wish && (code === 1000 || (own && code !== 1006))) {
      return this.#finish(wish, code, reason, wasClean);
    }
    if (code === SUPERSEDED) return this.#superseded(reason, wasClean);
    if (isFinal(code)) {
      return this.#finish(code === REFUSED ? 'refused' : 'backend', code, reason, wasClean);
    }
    if ((violation || isViolation(code)) && ++this.#violations >= MAX_VIOLATIONS) {
      return this.#finish('violation', code, reason, wasClean);
    }
    this.#retry(code, reason);
  }

  /** Another page came with the same token, where locks did not prevent it. */
  #superseded(text: string, wasClean: boolean): void {
    if (this.#forked || this.#leaving) {
      return this.#finish('superseded', SUPERSEDED, text, wasClean, true);
    }
    this.#forked = true;
    const life = this.#become({ at: 'locking' });
    this.#emit('ended', this.#ended('superseded', SUPERSEDED, text, true, true));
    if (this.#life === life) this.#connect();
  }

  #retry(code: number, reason: string): void {
    const { window } = this.#session;
    if (this.#life.at === 'open' && Date.now() - this.#life.since >= STABLE) this.#attempt = 0;
    const told = this.#retryAfter !== undefined;
    const retryIn = this.#retryAfter ?? backoff(this.#attempt++, window);
    const timer = setTimeout(() => this.#connect(), retryIn);
    this.#become({ at: 'waiting', timer, told });
    this.#emit('interrupted', { code, reason, retryIn });
  }

  /** The network is back, or somebody looks: waiting makes no sense, and doubt is cleared up. */
  #hurry(): void {
    if (this.#life.at === 'open') this.#life.connection.probe();
    // When the gateway has told a time, it is spread over its clients.
    else if (this.#life.at === 'waiting' && !this.#life.told) this.#connect();
  }

  #look(): void {
    const visible = document.visibilityState === 'visible';
    if (this.#life.at === 'open') this.#life.connection.visible(visible);
    if (visible) this.#hurry();
  }

  #hide(): void {
    if (this.#leaving) return this.#finish(this.#leaving.reason, 1006, 'pagehide');
    this.#flush();
    if (this.#life.at === 'open') this.#life.connection.acknowledge();
    this.#become({ at: 'hidden' }, 'pagehide');
    this.#lock.release();
  }

  /** Out of the back/forward cache, where sockets die even if they still say OPEN. */
  #show(): void {
    if (this.#life.at !== 'hidden') this.#hide();
    if (this.readyState === 3) return;
    const sessionId = this.#session.reload();
    const life = this.#life;
    if (sessionId) {
      this.#emit('ended', { sessionId, reason: 'replaced', code: 0, text: '', elsewhere: false,
        restarts: true, unacknowledged: [] });
    }
    if (this.#life === life) void this.#begin();
  }

  #leave(reason: Leaving['reason'], code?: number, text = ''): void {
    if (this.readyState > 1) return;
    const timer = setTimeout(() => this.#finish(reason, 1006, 'no answer'), LEAVE_LIMIT);
    this.#leaving = { reason, code, text, said: false, timer };
    const { at } = this.#life;
    this.#flush();
    // No later page goes on with it.
    this.#session.forget();
    if (this.#life.at === 'open') this.#sayLeave(this.#life.connection);
    else if (at === 'hidden' || !(this.#session.token || this.#session.outbox.count)) {
      this.#finish(reason, 1006, 'there was no connection');
    } else if (at === 'waiting') this.#connect();
  }

  #sayLeave(connection: Connection): void {
    const { code, text } = this.#leaving!;
    this.#leaving!.said = true;
    if (code) connection.close(code, text);
    else connection.send(GOODBYE);
  }

  /** The session is over for this page, and no other begins. */
  #finish(reason: EndedReason, code: number, text: string, wasClean = false,
    elsewhere = false): void {
    if (this.#life.at === 'closed') return;
    this.#become({ at: 'closed' }, reason);
    const ended = this.#ended(reason, code, text, elsewhere, false);
    // The gateway commits what came before a goodbye, then answers it.
    if (reason === 'goodbye' && code === 1000) ended.unacknowledged = [];
    clearTimeout(this.#leaving?.timer);
    this.#listening.abort();
    this.#session.forget();
    if (isMistake(reason)) this.#emit('error');
    this.#emit('ended', ended);
    this.dispatchEvent(new CloseEvent('close', { code, reason: text, wasClean }));
  }

  /** Forgets the session. A message that this page has sent before any connection goes along. */
  #ended(reason: EndedReason, code: number, text: string, elsewhere: boolean,
    restarts: boolean): EndedDetail {
    const { id: sessionId = '', seen } = this.#session;
    const unacknowledged = this.#session.reset(seen || !restarts);
    this.#lock.release();
    return { sessionId, reason, code, text, elsewhere, restarts, unacknowledged };
  }

  #emit(type: string, detail?: object): void {
    this.dispatchEvent(detail ? new CustomEvent(type, { detail }) : new Event(type));
  }
}

defineHandlers(AdieuSocket.prototype);
