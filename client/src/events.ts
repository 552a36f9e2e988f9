import type { Data } from './wire.js';

/** `resumed`: the session goes on with a new connection. */
export interface ResumedDetail {
  /** Counts the connections of the session, from 1. */
  generation: number;
  /** It is the first connection of this socket: after a refresh or `detach()`, not a lost one. */
  afterPageLoad: boolean;
}

/** Why a session is over for this page. */
export type EndedReason =
  /** `goodbye()` was called. */
  | 'goodbye'
  /** `close()` was called. */
  | 'closed'
  /** The backend ended it, with the code and the text. */
  | 'backend'
  /** The backend refused the connection (no new session) or the resume (a new one begins). */
  | 'refused'
  /** Another tab or page has it. */
  | 'superseded'
  /**
   * Another user is logged in now, and gets a session of their own; or the page came back from the
   * back/forward cache and its tab has another session by now.
   */
  | 'replaced'
  /** The server does not speak adieu.v1. */
  | 'unsupported'
  /** The browser did not allow the connection, for example `ws:` from an `https:` page. */
  | 'blocked'
  /** Gateway and client do not understand each other, several times in a row. */
  | 'violation'
  /** It could not be resumed, and a new one begins: too late. */
  | 'expired'
  /** The same: the gateway does not know the token. */
  | 'invalid'
  /** The same: a newer token of the session is in use. */
  | 'stale'
  /** The same: messages are missing that are not kept any more. */
  | 'lost'
  /** The same: it began on another site. */
  | 'origin'
  /** A reason of a later version. */
  | (string & {});

/** `ended`: a session is over for this page. */
export interface EndedDetail {
  /** Empty if there was none yet. */
  sessionId: string;
  reason: EndedReason;
  /** The code of the Close; 1006 if none was seen. */
  code: number;
  /** What was said about it; may be empty. */
  text: string;
  /** The session goes on elsewhere. */
  elsewhere: boolean;
  /** A new session begins now; if not, `close` comes next. */
  restarts: boolean;
  /** What was sent and not acknowledged, in order: it may have arrived or not. */
  unacknowledged: Data[];
}

/** `interrupted`: there is no connection; it will be tried again. */
export interface InterruptedDetail {
  /** The code of the Close; 1006 if none was seen. */
  code: number;
  reason: string;
  /** Milliseconds until the next try. */
  retryIn: number;
}

/** `warning`: something works less well than it should. */
export interface WarningDetail {
  message: string;
}

/** The events of an `AdieuSocket`. */
export interface AdieuSocketEventMap {
  open: Event;
  message: MessageEvent<Data>;
  close: CloseEvent;
  error: Event;
  resumed: CustomEvent<ResumedDetail>;
  ended: CustomEvent<EndedDetail>;
  interrupted: CustomEvent<InterruptedDetail>;
  warning: CustomEvent<WarningDetail>;
}

/** The attributes `onopen`, `onmessage`... */
export type AdieuSocketHandlers = {
  [T in keyof AdieuSocketEventMap as `on${T}`]:
    | ((this: AdieuEvents, event: AdieuSocketEventMap[T]) => unknown)
    | null;
};

/** An EventTarget that knows the types of its events. */
export interface AdieuEvents extends EventTarget, AdieuSocketHandlers {
  addEventListener<T extends keyof AdieuSocketEventMap>(
    type: T,
    listener: (this: AdieuEvents, event: AdieuSocketEventMap[T]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<T extends keyof AdieuSocketEventMap>(
    type: T,
    listener: (this: AdieuEvents, event: AdieuSocketEventMap[T]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

export const AdieuEvents = EventTarget as new () => AdieuEvents;

/** Node has no CloseEvent before version 23. */
export const closeEvent = (code: number, reason: string, wasClean: boolean): Event => {
  const init = { code, reason, wasClean };
  return globalThis.CloseEvent
    ? new CloseEvent('close', init)
    : Object.assign(new Event('close'), init);
};

type Handler = ((event: never) => unknown) | null;

const TYPES = [
  'open', 'message', 'close', 'error', 'resumed', 'ended', 'interrupted', 'warning',
] satisfies (keyof AdieuSocketEventMap)[];

/** Gives a class the attributes `onopen`, `onmessage`... */
export const defineHandlers = (target: EventTarget): void => {
  for (const type of TYPES) {
    const handlers = new WeakMap<EventTarget, Handler>();
    Object.defineProperty(target, 'on' + type, {
      get(this: EventTarget) {
        return handlers.get(this) ?? null;
      },
      set(this: EventTarget, handler: Handler) {
        this.removeEventListener(type, (handlers.get(this) ?? null) as EventListener | null);
        const set = typeof handler === 'function' ? handler : null;
        handlers.set(this, set);
        if (set) this.addEventListener(type, set as EventListener);
      },
    });
  }
};
