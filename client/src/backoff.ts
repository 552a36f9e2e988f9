import { BACKOFF_BASE, BACKOFF_SHARE } from './limits.js';

/** Full jitter: clients that lost the same gateway do not come back in step. */
export const backoff = (attempt: number, window: number): number =>
  Math.random() * Math.min(window / BACKOFF_SHARE, BACKOFF_BASE * 2 ** attempt);
