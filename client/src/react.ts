// @adieu/client/react: an AdieuSocket for as long as a component is mounted.

import {
  AdieuSocket,
  type AdieuSocketEventMap,
  type AdieuSocketHandlers,
  type AdieuSocketOptions,
  type SocketUrl,
} from '@adieu/client';
import { useEffect, useInsertionEffect, useRef, useState } from 'react';

export type UseAdieuOptions = AdieuSocketOptions & {
  [T in keyof AdieuSocketHandlers]?: AdieuSocketHandlers[T] | undefined;
};

export interface Adieu {
  /** `null` on a server, before the component is mounted, and without a URL. */
  socket: AdieuSocket | null;
  /** As of the socket: 0 connecting, 1 open, 2 closing, 3 closed. */
  readyState: 0 | 1 | 2 | 3;
  /** Empty before the first connection and after the end. */
  sessionId: string;
}

const TYPES = [
  'open', 'message', 'close', 'error', 'resumed', 'ended', 'interrupted', 'warning',
] as const satisfies (keyof AdieuSocketEventMap)[];

const read = (socket: AdieuSocket): Adieu => {
  const { readyState, sessionId } = socket;
  return { socket, readyState, sessionId };
};

/**
 * Opens a socket when the component is mounted, and detaches it when the component is unmounted or
 * `url` or `storageKey` changes. That ends no session: the next socket for the same URL goes on
 * with it. `null` as the URL: no socket. Handlers and functions need not stay the same: those of
 * the last rendering are called.
 */
export const useAdieu = (
  url: SocketUrl | null | undefined,
  options: UseAdieuOptions = {},
): Adieu => {
  const latest = useRef({ url, options });
  useInsertionEffect(() => {
    latest.current = { url, options };
  });
  const [state, setState] = useState<Adieu | null>(null);

  const isFunction = typeof url === 'function';
  // A function is another one at each rendering: it is the same socket that asks it.
  const place = url && !isFunction ? String(url) : isFunction;
  useEffect(() => {
    const { url, options } = latest.current;
    if (!url) return;
    const askUrl = () => {
      const { url } = latest.current;
      return typeof url === 'function' ? url() : String(url);
    };
    const auth = () => latest.current.options.auth?.() ?? '';
    const socket = new AdieuSocket(typeof url === 'function' ? askUrl : url, { ...options, auth });
    let isCurrent = true;
    const show = (): void => {
      // What a socket tells that was left is not about the one that is there now.
      if (!isCurrent) return;
      const next = read(socket);
      const isSame = (last: Adieu | null): boolean =>
        last?.socket === socket &&
        last.readyState === next.readyState &&
        last.sessionId === next.sessionId;
      setState((last) => (isSame(last) ? last : next));
    };
    for (const type of TYPES) {
      socket.addEventListener(type, (event) => {
        show();
        const handler = latest.current.options[`on${type}`];
        (handler as ((event: Event) => unknown) | null | undefined)?.call(socket, event);
      });
    }
    show();
    return () => {
      isCurrent = false;
      socket.detach();
      setState(null);
    };
  }, [place, options.storageKey]);

  return state ?? { socket: null, readyState: url ? 0 : 3, sessionId: '' };
};
