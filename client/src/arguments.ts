// What an application passes in, checked as WebSocket does.

import type { Source } from './ask.js';
import { type Data, UNCOMPRESSED, isFinal, size } from './wire.js';

/** A URL, or a function that is asked for one before each connection. */
export type SocketUrl = string | URL | Source<string | URL>;

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

/**
 * The default key in sessionStorage. A query often has a token in it, which is another one at each
 * page load. A frame shares the sessionStorage with the page around it.
 */
export const storageKey = (url: string): string => {
  // FAQ: client-storage-key
  if (!url) throw new TypeError('a URL that is a function needs the option storageKey');
  const { self } = globalThis;
  const frame = self?.parent && self.parent !== self ? ` in frame ${self.name}` : '';
  return `adieu:${url.replace(/\?.*/, '')}${frame}`;
};

/** As the WebSocket standard has it, checked before the first connection. */
export const subprotocols = (
  options: { protocols?: readonly string[]; compress?: boolean },
): readonly string[] => {
  if (typeof options === 'string' || Array.isArray(options)) {
    // FAQ: client-second-argument
    throw new TypeError('the second argument is an object: { protocols: [...] }');
  }
  const { protocols = [], compress = true } = options;
  for (const name of protocols) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || name.startsWith('adieu.')) {
      // FAQ: client-subprotocol
      fail(`no subprotocol of an application: ${name}`);
    }
  }
  return compress ? [...protocols] : [...protocols, UNCOMPRESSED];
};

export const closeCode = (code: number): number => {
  // FAQ: client-close-code
  return isFinal(code) ? code : fail(`${code} does not mean to leave`, 'InvalidAccessError');
};

export const closeReason = (reason: string): string =>
  // FAQ: client-close-reason
  size(reason) > MAX_REASON ? fail('reason too long') : reason;

/** Copied, as it may be changed later. */
export const outgoing = (data: string | ArrayBuffer | ArrayBufferView): Data => {
  // Half of a surrogate pair has no UTF-8.
  if (typeof data === 'string') return data.replace(/[\ud800-\udfff]/gu, '\ufffd');
  if (data instanceof ArrayBuffer) return data;
  // FAQ: client-data
  if (!ArrayBuffer.isView(data)) throw new TypeError('neither string nor ArrayBuffer nor view');
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice().buffer;
};

export function fail(message: string, name = 'SyntaxError'): never {
  throw new DOMException(message, name);
}
