import {
  type SocketUrl,
  closeCode,
  closeReason,
  fail,
  outgoing,
  socketUrl,
  storageKey,
  subprotocols,
} from './arguments.js';
import { type Source, askAuth, askUrl } from './ask.js';
import { Backoff } from './backoff.js';
import { Connection } from './connection.js';
import { deadline } from './deadline.js';
import {
  AdieuEvents,
  type EndedDetail,
  type EndedReason,
  closeEvent,
  defineHandlers,
} from './events.js';
import { type Leaving, type LeavingReason, type Life, MISTAKES, VIOLATIONS } from './life.js';
import {
  HANGING,
  HURRY_SPREAD,
  LEAVE_LIMIT,
  MAX_BYTES,
  MAX_COUNT,
  MAX_LOAD,
  MAX_VIOLATIONS,
  STABLE,
} from './limits.js';
import { SessionLock } from './lock.js';
import { listenToPage } from './page.js';
import { Session } from './session.js';
import {
  type Connected,
  type Data,
  type FromGateway,
  GIVEN_UP,
  GOODBYE,
  type Incoming,
  MAY_RETURN,
  REFUSED,
  SUBPROTOCOL,
  SUPERSEDED,
  UNCOMPRESSED,
  auth,
  isFinal,
  loaded,
  payload,
} from './wire.js';

export interface AdieuSocketOptions {
  /**
   * Answers a token, for example a JWT, that proves to the backend who this is. It is asked for
   * each connection, and does not become part of a URL. An empty string is no token.
   */
  auth?: Source<string>;
  /**
   * Subprotocols that are offered beside `adieu.v1`, for the backend to read in its `connect`. The
   * gateway never selects one of them.
   */
  protocols?: readonly string[];
  /**
   * `false`: nothing is compressed, although browsers offer it: for secrets on a connection that
   * also carries what strangers write. By default the gateway decides.
   */
  compress?: boolean;
  /** Messages that may be unacknowledged; 1,000 by default. */
  maxUnacknowledgedMessages?: number;
  /** Bytes that may be unacknowledged; 1 MiB by default. */
  maxUnacknowledgedBytes?: number;
  /**
   * The key in sessionStorage; by default made from the URL without its query. It is needed where
   * the URL is a function, or where two frames of a tab open the same URL.
   */
  storageKey?: string;
}

/** Storage keys that have told how long this page took to load: it is told once. */
const loadTold = new Set<string>();

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

  #url = '';
  #askUrl: (() => Promise<string>) | undefined;
  #auth: Source<string> | undefined;
  #protocols: readonly string[];
  #life: Life = { at: 'preparing', since: performance.now() };
  #leaving: Leaving | undefined;
  #session: Session;
  #lock = new SessionLock();
  #listening = new AbortController();
  #backoff = new Backoff();
  /** A connection was begun: the gateway may know of this page. */
  #begun = false;
  /** What the gateway's `closing` said, ms. */
  #retryAfter: number | undefined;
  /** The one before may have ended because of compression: this connection does without. */
  #uncompressed = false;
  /** Connections in a row that ended in a violation. */
  #violations = 0;
  /** Two pages that take the session from each other would never end: once is enough. */
  #forked = false;
  /** Received and not yet acknowledged. */
  #owed = 0;
  #scheduled = false;

  constructor(url: SocketUrl, options: AdieuSocketOptions = {}) {
    super();
    if (typeof WebSocket !== 'function') {
      // FAQ: client-no-websocket
      throw new Error('AdieuSocket is for browsers: here is no WebSocket');
    }
    this.#protocols = subprotocols(options);
    if (typeof url === 'function') this.#askUrl = () => askUrl(url);
    else this.#url = socketUrl(url);
    this.#auth = options.auth;
    this.#session = new Session(
      options.storageKey ?? storageKey(this.#url),
      options.maxUnacknowledgedMessages ?? MAX_COUNT,
      options.maxUnacknowledgedBytes ?? MAX_BYTES,
      (error) => {
        const message = `sessionStorage does not take all that a refresh should survive: ${error}`;
        queueMicrotask(() => this.#life.at === 'closed' || this.#emit('warning', { message }));
      },
    );
    listenToPage(
      {
        hide: () => this.#hide(),
        show: () => this.#show(),
        online: () => this.#hurry(),
        look: (visible) => this.#look(visible),
      },
      this.#listening.signal,
    );
    // Nobody listens yet.
    queueMicrotask(() => this.#life.at === 'preparing' && this.#begin());
  }

  /** Where it connects to; empty before a function has answered. */
  get url(): string {
    return this.#url;
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
    if (type !== 'arraybuffer') fail('only arraybuffer', 'NotSupportedError');
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
    // FAQ: client-closed
    if (this.readyState > 1) fail('it is closed', 'InvalidStateError');
    this.#session.outbox.push(outgoing(data));
    this.#schedule();
  }

  /** Leaves for good. What was sent before is delivered first. */
  goodbye(): void {
    this.#leave('goodbye');
  }

  /**
   * Leaves for good, with a code: 1000 or 4000 to 4999 without 4001 and 4005, which mean the
   * opposite. Before the first connection was begun it leaves alone what is stored.
   * Throws `InvalidAccessError` for others, `SyntaxError` for a reason of more than 123 bytes.
   */
  close(code = 1000, reason = ''): void {
    this.#leave('closed', closeCode(code), closeReason(reason));
  }

  /**
   * Lets go of the session without ending it: another AdieuSocket of this tab, or its next page,
   * goes on with it. No event follows. After `goodbye()` or `close()` it changes nothing.
   */
  detach(): void {
    if (this.readyState > 1) return;
    this.#flush();
    this.#acknowledge();
    this.#become({ at: 'closed' }, 'detached', MAY_RETURN);
    this.#listening.abort();
    this.#session.release();
    this.#lock.release();
  }

  /** The only way from one state to another. */
  #become<T extends Life>(next: T, why = '', code = GIVEN_UP): T {
    const last: Life = this.#life;
    if (last.at === 'waiting') clearTimeout(last.timer);
    if ('connection' in last && !('connection' in next && next.connection === last.connection)) {
      last.connection.abandon(why, code);
    }
    this.#life = next;
    return next;
  }

  async #begin(): Promise<void> {
    const life = this.#become({ at: 'preparing', since: performance.now() }, 'begun again');
    const { seen } = this.#session;
    const ours = await this.#lock.take(this.#session.claim());
    if (this.#life !== life) return;
    if (!ours) {
      // The stored messages are the other tab's; they are told only to a page that sent them.
      const ended = this.#ended('superseded', 0, 'another tab has it', true, true);
      if (seen) this.#emit('ended', ended);
      return this.#life === life ? this.#begin() : undefined;
    }
    try {
      const url = (await this.#askUrl?.()) ?? this.#url;
      const token = this.#auth && (await askAuth(this.#auth));
      if (this.#life === life) this.#connect(url, token);
    } catch (error) {
      if (this.#life === life) this.#retry(1006, (error as Error).message);
    }
  }

  #connect(url: string, token: string | undefined): void {
    this.#retryAfter = undefined;
    this.#url = url;
    this.#begun = true;
    // One that is offered twice is an error.
    const offered = new Set([SUBPROTOCOL, this.#session.offer, ...this.#protocols]);
    if (token) offered.add(auth(token));
    if (this.#uncompressed) offered.add(UNCOMPRESSED);
    try {
      const connection = new Connection(url, [...offered], {
        message: (message) => this.#read(connection, message),
        unsupported: () => this.#finish('unsupported', 1006, `${SUBPROTOCOL} was not selected`),
        lost: (...how) => this.#lost(...how),
      });
      this.#become({ at: 'connecting', connection, since: performance.now() });
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
        if (message.retryAfter > 0) this.#retryAfter = message.retryAfter;
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
    // A first visit that is repeated begins for the page only now, whatever the gateway knows.
    const begins = !token || !resumed;
    let ended: EndedDetail | undefined;
    if (token && !resumed) {
      const { said, reason: wish } = this.#leaving ?? {};
      if (wish) return this.#finish(said ? wish : reason, 1006, reason);
      ended = this.#ended(reason, 1006, '', reason === 'stale', true);
    }
    const life = this.#become({ at: 'open', connection, since: performance.now() });
    // The token is stored before anything is sent that makes the one before it worthless.
    this.#session.connected(message);
    this.#flush();
    const { key } = this.#session;
    if (!loadTold.has(key)) {
      loadTold.add(key);
      connection.send(loaded(Math.min(MAX_LOAD, Math.round(performance.now()))));
    }
    connection.start(heartbeat);
    void this.#lock.take(this.#session.claim());
    if (this.#leaving) return this.#sayLeave(connection);
    if (ended) this.#emit('ended', ended);
    if (this.#life !== life || this.#leaving) return;
    if (begins) this.#emit('open');
    else this.#emit('resumed', { generation, afterPageLoad: !seen });
  }

  /** Answers whether the message is as it must be. */
  #receive(message: Incoming): boolean {
    const session = this.#session;
    const id = message.sequenceId;
    const isNew = !(id <= session.received);
    let data: Data | undefined;
    if (isNew) {
      try {
        data = payload(message);
      } catch {
        return false;
      }
      if (id !== session.received + 1) return false;
      // Stored at the end of this task, when the handlers have returned, with what they sent in
      // answer: a page that dies before gets the message again.
      session.received = id;
      session.tag = message.tag ?? '';
      this.#violations = 0;
    }
    this.#owed++;
    this.#schedule();
    if (isNew) {
      const { origin } = new URL(this.#url);
      this.dispatchEvent(new MessageEvent('message', { data, origin }));
    }
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

  #acknowledge(): void {
    if (this.#life.at === 'open') this.#life.connection.acknowledge();
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
    if ((violation || VIOLATIONS.includes(code)) && ++this.#violations >= MAX_VIOLATIONS) {
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
    const life = this.#become({ at: 'preparing', since: performance.now() });
    this.#emit('ended', this.#ended('superseded', SUPERSEDED, text, true, true));
    if (this.#life === life) void this.#begin();
  }

  #retry(code: number, reason: string, now = false): void {
    const life = this.#life;
    const told = this.#retryAfter;
    if (life.at === 'open') {
      const lasted = performance.now() - life.since;
      this.#backoff.lost(lasted);
      // Of a message that its browser cannot inflate a page is told nothing but 1006. But the
      // message comes again at once: what is compressed and ends so soon is tried without.
      this.#uncompressed = lasted < STABLE && !told && !!life.connection.extensions;
    }
    const retryIn = now ? 0 : (told || this.#backoff.next(this.#session.window));
    this.#wait(retryIn, now || !!told, reason);
    this.#emit('interrupted', { code, reason, retryIn });
  }

  #wait(ms: number, fixed: boolean, why = ''): void {
    const timer = setTimeout(() => this.#begin(), ms);
    this.#become({ at: 'waiting', timer, fixed }, why);
  }

  /** The network is back, or somebody looks: waiting makes no sense, and doubt is cleared up. */
  #hurry(): void {
    const life = this.#life;
    if (life.at === 'open') {
      if (life.connection.isDoubtful) this.#retry(1006, 'hidden for long', true);
      else life.connection.probe();
    } else if (life.at === 'waiting') {
      // When the gateway has told a time, it is spread over its clients.
      if (!life.fixed) this.#wait(Math.random() * HURRY_SPREAD, true);
    } else if ('since' in life && performance.now() - life.since > HANGING) {
      // Its first packet went into a network that was not there.
      void this.#begin();
    }
  }

  #look(visible: boolean): void {
    if (visible) this.#hurry();
    if (this.#life.at === 'open') this.#life.connection.visible(visible);
  }

  #hide(): void {
    if (this.#leaving) return this.#finish(this.#leaving.reason, 1006, 'pagehide');
    this.#flush();
    this.#acknowledge();
    this.#become({ at: 'hidden' }, 'pagehide', MAY_RETURN);
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

  #leave(reason: LeavingReason, code?: number, text = ''): void {
    if (this.readyState > 1) return;
    const { at } = this.#life;
    const { token, outbox } = this.#session;
    const hasNothing = !token && !outbox.count;
    // A page that has not even begun to connect, and has nothing, has nothing to end.
    if (at === 'hidden' || (!this.#begun && (code || hasNothing))) {
      return this.#finish(reason, 1006, 'there was no connection');
    }
    const limit = deadline(LEAVE_LIMIT, () => this.#finish(reason, 1006, 'no answer'));
    this.#leaving = { reason, code, text, said: false, limit };
    this.#flush();
    // No later page goes on with it.
    this.#session.forget();
    if (this.#life.at === 'open') this.#sayLeave(this.#life.connection);
    else if (at === 'waiting') void this.#begin();
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
    this.#become({ at: 'closed' }, reason, 1000);
    const { id = '' } = this.#session;
    // A page that never began to connect leaves what is stored to the page after it.
    const untouched = reason === 'closed' && !this.#begun && this.#session.release();
    const ended = this.#ended(reason, code, text, elsewhere, false);
    if (untouched) Object.assign(ended, { sessionId: id, unacknowledged: untouched });
    // The gateway commits what came before a goodbye, then answers it.
    if (reason === 'goodbye' && code === 1000) ended.unacknowledged = [];
    this.#leaving?.limit();
    this.#listening.abort();
    this.#session.forget();
    if (MISTAKES.includes(reason)) this.#emit('error');
    this.#emit('ended', ended);
    this.dispatchEvent(closeEvent(code, text, wasClean));
  }

  /** Forgets the session. A message that this page has sent before any connection goes along. */
  #ended(reason: EndedReason, code: number, text: string, elsewhere: boolean,
    restarts: boolean): EndedDetail {
    const { id: sessionId = '', seen } = this.#session;
    const taken = this.#session.reset(seen || !restarts);
    this.#lock.release();
    // Another user is here now: what a page before this one has left is nothing of this user's.
    const unacknowledged = reason === 'replaced' && !seen ? [] : taken;
    return { sessionId, reason, code, text, elsewhere, restarts, unacknowledged };
  }

  #emit(type: string, detail?: object): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

defineHandlers(AdieuSocket.prototype);
