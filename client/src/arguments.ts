// What an application passes in, checked as WebSocket does.

import { type Data, isFinal } from './wire.js';

/** RFC 6455 §5.5: a control frame has 125 bytes, of which the code takes two. */
const MAX_REASON = 123;

/** As the WebSocket standard has it: relative URLs and `http:` are good too, fragments are cut. */
export const socketUrl = (given: string | URL): string => {
  let url: URL | undefined;
  try {
    url = new URL(given, globalThis.document?.baseURI ?? globalThis.location?.href);
    url.protocol = url.protocol.replace('http', 'ws');
    url.hash = '';
  } catch {
    // Said below.
  }
  if (url?.protocol !== 'ws:' && url?.protocol !== 'wss:') fail(`no WebSocket URL: ${given}`);
  return url.href;
};

export const closeCode = (code: number): number => {
  return isFinal(code) ? code : fail(`${code} does not mean to leave`, 'InvalidAccessError');
};

export const closeReason = (reason: string): string =>
  new TextEncoder().encode(reason).length > MAX_REASON ? fail('reason too long') : reason;

/** Copied, as it may be changed later. */
export const outgoing = (data: string | ArrayBuffer | ArrayBufferView): Data => {
  // Half of a surrogate pair has no UTF-8.
  if (typeof data === 'string') return data.replace(/[\ud800-\udfff]/gu, '\ufffd');
  if (data instanceof ArrayBuffer) return data;
  if (!ArrayBuffer.isView(data)) throw new TypeError('neither string nor ArrayBuffer nor view');
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice().buffer;
};

function fail(message: string, name = 'SyntaxError'): never {
  throw new DOMException(message, name);
}
