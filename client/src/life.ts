import type { Connection } from './connection.js';
import type { EndedReason } from './events.js';

type Timer = ReturnType<typeof setTimeout>;

/** Where a socket is. What a state needs is gone when the state is left. */
export type Life =
  /** Asks whether the stored session belongs to this tab, then where to connect, and as whom. */
  | { at: 'preparing'; since: number }
  /** Until the gateway's `connected`. */
  | { at: 'connecting'; connection: Connection; since: number }
  | { at: 'open'; connection: Connection; since: number }
  /** For the next try; `fixed`: the gateway has said when, or it is near. */
  | { at: 'waiting'; timer: Timer; fixed: boolean }
  /** From `pagehide` to `pageshow`, if that ever comes. */
  | { at: 'hidden' }
  | { at: 'closed' };

export type LeavingReason = 'goodbye' | 'closed';

/** The application wants to leave; without a code it says goodbye. */
export interface Leaving {
  reason: LeavingReason;
  code: number | undefined;
  text: string;
  said: boolean;
  /** Calls off the limit until which the gateway must have answered. */
  limit: () => void;
}

/** Codes of a Close that answers a violation: coming back does not heal them. */
export const VIOLATIONS = [1002, 1003, 1007, 1008, 1009];

/** Endings that are somebody's mistake: they make an `error` too. */
export const MISTAKES: EndedReason[] = ['unsupported', 'blocked', 'violation'];
