import { LATE, SECOND_LOOK } from './limits.js';

/**
 * Calls `expired` after `ms`; answers how to call it off.
 *
 * A page that stood still (`alert()`, a debugger, a laptop that slept) finds the timer due and the
 * answer waiting to be read, in any order. So a timer that is late gives what waits another moment.
 */
export const deadline = (ms: number, expired: () => void): (() => void) => {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (ms: number): void => {
    const due = performance.now() + ms;
    timer = setTimeout(() => {
      if (performance.now() - due > LATE) wait(SECOND_LOOK);
      else expired();
    }, ms);
  };
  wait(ms);
  return () => clearTimeout(timer);
};
