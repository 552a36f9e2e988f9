// Compiled, never run: how an application in TypeScript sees the types.

import { AdieuSocket, type EndedDetail } from '../dist/index.js';

const socket: AdieuSocket = new AdieuSocket(new URL('wss://example.org/live'), {
  maxUnacknowledgedMessages: 10,
});
socket.onmessage = ({ data }) => (typeof data === 'string' ? data.length : data.byteLength);
socket.addEventListener('resumed', ({ detail }) => {
  return detail.afterPageLoad ? detail.generation : 0;
});
socket.addEventListener('ended', (event) => {
  const detail: EndedDetail = event.detail;
  if (detail.restarts) detail.unacknowledged.forEach((data) => socket.send(data));
});
socket.onclose = ({ code, wasClean }) => [code.toFixed(), wasClean];
socket.onopen = null;
socket.send(new Uint8Array(1));
const state: 0 | 1 | 2 | 3 = socket.readyState;
// @ts-expect-error a Blob cannot be read at once
socket.send(new Blob());
// @ts-expect-error
socket.readyState = state;
