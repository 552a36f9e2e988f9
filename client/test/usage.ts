// Compiled, never run: how an application in TypeScript sees the types.

import {
  AdieuSocket,
  type AdieuSocketOptions,
  type Data,
  type EndedDetail,
  type SocketUrl,
} from '../dist/index.js';
import { type Adieu, type UseAdieuOptions, useAdieu } from '../dist/react.js';

const socket: AdieuSocket = new AdieuSocket(new URL('wss://example.org/live'), {
  maxUnacknowledgedMessages: 10,
});
socket.onmessage = ({ data }) => (typeof data === 'string' ? data.length : data.byteLength);
socket.addEventListener('resumed', ({ detail }) => {
  return detail.afterPageLoad ? detail.generation : 0;
});
socket.addEventListener('ended', (event) => {
  const detail: EndedDetail = event.detail;
  if (detail.restarts) detail.unacknowledged.forEach((data: Data) => socket.send(data));
});
socket.onclose = ({ code, wasClean }) => [code.toFixed(), wasClean];
socket.onopen = null;
socket.send(new Uint8Array(1));
const state: 0 | 1 | 2 | 3 = socket.readyState;
// @ts-expect-error a Blob cannot be read at once
socket.send(new Blob());
// @ts-expect-error
socket.readyState = state;
// @ts-expect-error
socket.url = 'wss://example.org/other';

const jwt = async (): Promise<string> => 'eyJ';
const urls: SocketUrl[] = ['/live', new URL('wss://a.test'), () => '/live', async () => '/live'];
const options: AdieuSocketOptions = { auth: jwt, protocols: ['chat.v2'], storageKey: 'live' };
for (const url of urls) new AdieuSocket(url, options).detach();
new AdieuSocket('/live', { auth: () => 'eyJ' });
// @ts-expect-error
new AdieuSocket('/live', { auth: () => 5 });
// @ts-expect-error
new AdieuSocket('/live', { auth: 'eyJ' });
// @ts-expect-error subprotocols are an option
new AdieuSocket('/live', ['chat.v2']);
// @ts-expect-error
new AdieuSocket('/live', 'chat.v2');

export const Component = (user: string | undefined): string => {
  const onmessage: UseAdieuOptions['onmessage'] = ({ data }) => data;
  const hook: Adieu = useAdieu(user && `/live?user=${user}`, {
    auth: jwt,
    onmessage,
    onopen: undefined,
    onended: ({ detail }) => detail.unacknowledged.length,
  });
  hook.socket?.send('hello');
  // @ts-expect-error there may be none
  hook.socket.send('hello');
  return `${hook.readyState === AdieuSocket.OPEN} ${hook.sessionId}`;
};
