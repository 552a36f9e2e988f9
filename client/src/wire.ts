// adieu.v1: JSON in text messages.

export const SUBPROTOCOL = 'adieu.v1';

export const HEARTBEAT = '{"type":"heartbeat"}';
export const GOODBYE = '{"type":"goodbye"}';

/** The page is hidden or going, and may return. */
export const MAY_RETURN = 4001;
/** A newer connection has the session. */
export const SUPERSEDED = 4002;
/** The backend refused the connection. */
export const REFUSED = 4004;

/** The connection is given up, for it does not answer or says what it must not. */
export const GIVEN_UP = 4005;

/** A Close with this code ends the session, whoever says it. */
export const isFinal = (code: number): boolean =>
  code === 1000 ||
  (code >= 4000 && code < 5000 && code !== MAY_RETURN && code !== GIVEN_UP);

/** What an application sends and receives. */
export type Data = string | ArrayBuffer;

export interface Connected {
  type: 'connected';
  sessionId: string;
  reconnectionToken: string;
  generation: number;
  resumed: boolean;
  reason?: string;
  window: number;
  sequenceAck: number;
  heartbeat: number;
}

export interface Incoming {
  type: 'message';
  sequenceId: number;
  tag?: string;
  text?: string;
  binary?: string;
}

export type FromGateway =
  | Connected
  | Incoming
  | { type: 'sequenceAck'; sequenceId: number }
  | { type: 'closing'; retryAfter: number }
  | { type: 'refused'; reason: string }
  | { type: 'heartbeat' };

// What is offered beside the subprotocol: header fields carry it, for URLs are logged.

/** Comes back: with the last message that was received and the last acknowledgement. */
export const resume = (token: string, received: number, tag: string, acked: number): string =>
  `adieu.resume.${token}.${received}.${/^[\w-]{8}$/.test(tag) ? tag : '-'}.${acked}`;

/** Nobody knows yet whether the gateway has a session for it. */
export const first = (nonce: string): string => `adieu.first.${nonce}`;

/** Asks for no compression, which a page cannot keep its browser from offering. */
export const UNCOMPRESSED = 'adieu.uncompressed';

export const auth = (token: string): string =>
  `adieu.auth.${base64url(new TextEncoder().encode(token))}`;

/** This page took so many ms from its navigation until it was connected. */
export const loaded = (ms: number): string => `{"type":"loaded","ms":${ms}}`;

export const acknowledgement = (id: number): string =>
  `{"type":"sequenceAck","sequenceId":${id}}`;

/**
 * The end of a message, which is kept without its number: a message that has not left yet may
 * still get another one. It contains no line break, as JSON escapes them.
 */
export const encode = (data: Data): string =>
  typeof data === 'string'
    ? `"text":${JSON.stringify(data)}}`
    : `"binary":"${toBase64(new Uint8Array(data))}"}`;

export const decode = (tail: string): Data => payload(JSON.parse('{' + tail));

export const numbered = (id: number, tail: string): string =>
  `{"type":"message","sequenceId":${id},${tail}`;

/** Throws if the message carries nothing. */
export const payload = ({ text, binary }: { text?: string; binary?: string }): Data => {
  if (typeof text === 'string') return text;
  return Uint8Array.from(atob(binary!), (char) => char.charCodeAt(0)).buffer;
};

/** A call has a limited number of arguments. */
const CHUNK = 0x8000;

const toBase64 = (bytes: Uint8Array): string => {
  let chars = '';
  for (let at = 0; at < bytes.length; at += CHUNK) {
    chars += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  }
  return btoa(chars);
};

/** Without padding. */
export const base64url = (bytes: Uint8Array): string =>
  toBase64(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

/** Bytes, as WebSocket counts them. */
export const size = (data: Data): number =>
  typeof data === 'string' ? new TextEncoder().encode(data).length : data.byteLength;
