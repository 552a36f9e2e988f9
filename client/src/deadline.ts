import { LATE, SECOND_LOOK } from './limits.js';

/**
 * Calls `expired` after `ms`; answers how to call it off.
 *
 * A page that stood still (`alert()`, a debugger, a laptop that slept) finds the timer due and the
 * answer waiting to be read, in any order. So a timer that is late gives what waits another moment:
 * once, for in a tab that is hidden all timers are late.
 */
export const deadline = (ms: number, expired: () => void): (() => void) => {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (ms: number, late: number): void => {
    const due = performance.now() + ms;
    timer = setTimeout(() => {
      if (performance.now() - due > late) wait(SECOND_LOOK, Infinity);
      else expired();
    }, ms);
  };
  wait(ms, LATE);
  return () => clearTimeout(timer);
};
