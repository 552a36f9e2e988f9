// Every default and time limit, with its unit and its reason.

/** Messages that may wait for the gateway's acknowledgement. */
export const MAX_COUNT = 1000;
/** Bytes that may wait; browsers give a site about 5 MiB, and base64 adds a third. */
export const MAX_BYTES = 1 << 20;

/** First step of the exponential back-off, ms. */
export const BACKOFF_BASE = 250;
/** The back-off never waits longer than the gateway's window divided by this: four tries fit in. */
export const BACKOFF_SHARE = 4;
/** The window to reckon with before the gateway has told its own, ms. */
export const DEFAULT_WINDOW = 15_000;
/** A connection that lasted so long was a good one: the back-off begins anew, ms. */
export const STABLE = 5_000;

/** From the start of a connection to the gateway's `connected`, ms. */
export const CONNECT_LIMIT = 10_000;
/** For the answer to a heartbeat, ms. */
export const ANSWER_LIMIT = 10_000;
/** For the answer to a heartbeat that was sent because of a doubt, ms. */
export const PROBE_LIMIT = 5_000;
/** From `goodbye()` or `close()` to the gateway's answer, connecting included, ms. */
export const LEAVE_LIMIT = 10_000;

/** An acknowledgement waits so long for others to join it, ms. */
export const ACK_DELAY = 100;
/** So many messages are acknowledged without waiting. */
export const ACK_COUNT = 32;

/** The page before this one may hold its lock a moment longer than it lives, ms. */
export const LOCK_PATIENCE = 1_000;
/** Between two tries to take the lock, ms. */
export const LOCK_STEP = 50;

/** Connections in a row that end in a violation before the client gives up. */
export const MAX_VIOLATIONS = 3;
