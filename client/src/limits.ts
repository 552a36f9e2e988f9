// Every default and time limit, with its unit and its reason.

/** Messages that may wait for the gateway's acknowledgement. */
export const MAX_COUNT = 1000;
/** Bytes that may wait; browsers give a site about 5 MiB, and base64 adds a third. */
export const MAX_BYTES = 1 << 20;
/** Bytes of one message: the gateway takes no larger one. */
export const MAX_MESSAGE = 1 << 20;
/**
 * Characters of the entry that holds the token. It always has as many, as what does not grow can
 * be written when the storage is full.
 */
export const HEAD_SIZE = 512;

/** First step of the exponential back-off, ms. */
export const BACKOFF_BASE = 250;
/** The back-off never waits less, ms: also where the gateway keeps no session. */
export const BACKOFF_FLOOR = 100;
/** While the gateway keeps the session, the window divided by this at most: four tries fit in. */
export const BACKOFF_SHARE = 4;
/** Afterwards, ms: 100,000 clients of a gateway that is down are 3,000 tries a second then. */
export const BACKOFF_MAX = 60_000;
/** The window to reckon with before the gateway has told its own, ms. */
export const DEFAULT_WINDOW = 15_000;
/** A connection that lasted so long was a good one: the back-off begins anew, ms. */
export const STABLE = 5_000;
/** When the network is back, all clients of a place know it at once: spread over so many ms. */
export const HURRY_SPREAD = 100;
/**
 * A try that has taken so long is begun again when the network is back, ms: TCP repeats its first
 * packet after 1 s by itself, then waits longer and longer.
 */
export const HANGING = 1_000;
/** A connection that said nothing for so long while the page was hidden is replaced, ms. */
export const LONG_HIDDEN = 60_000;

/** For the application's `url` and `auth`, ms each. */
export const ASK_LIMIT = 10_000;
/** From the start of a connection to the gateway's `connected`, ms. */
export const CONNECT_LIMIT = 10_000;
/** For the answer to a heartbeat, ms. */
export const ANSWER_LIMIT = 10_000;
/** For the answer to a heartbeat that was sent because of a doubt, ms. */
export const PROBE_LIMIT = 5_000;
/** From `goodbye()` or `close()` to the gateway's answer, connecting included, ms. */
export const LEAVE_LIMIT = 10_000;
/** A timer that is so late tells that the page stood still, ms. */
export const LATE = 500;
/** To read what came while the page stood still, ms. */
export const SECOND_LOOK = 1_000;

/** A nonce of a first visit is offered for so long, ms: the gateway keeps it no longer. */
export const FIRST_VISIT = 60_000;
/** What a page says of the time that it took to load is this at most, ms. */
export const MAX_LOAD = 60_000;

/** An acknowledgement waits so long for others to join it, ms. */
export const ACK_DELAY = 100;
/** So many messages are acknowledged without waiting. */
export const ACK_COUNT = 32;

/** The page before this one may hold its lock a moment longer than it lives, ms. */
export const LOCK_PATIENCE = 1_000;
/** Between two tries to take the lock at most, ms; the first ones follow faster. */
export const LOCK_STEP = 50;

/** Connections in a row that end in a violation before the client gives up. */
export const MAX_VIOLATIONS = 3;
