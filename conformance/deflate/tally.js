// What a peer says of the messages that it has got: how many, their bytes, and the CRC-32 of all of
// them (the one of zlib), which the other side compares with its own.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** A message with this text asks for the tally. No other message has it. */
export const ASKS = '\u0000tally';

export class Tally {
  messages = 0;
  bytes = 0;
  #crc = ~0;
  #encoder = new TextEncoder();

  /** Counts a message: a string, an ArrayBuffer or a Uint8Array. */
  add(message) {
    const bytes =
      typeof message === 'string' ? this.#encoder.encode(message) : new Uint8Array(message);
    let crc = this.#crc;
    for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
    this.#crc = crc;
    this.messages += 1;
    this.bytes += bytes.length;
  }

  /**
   * The tally as text: `extensions` is what was agreed on, as this peer tells it, and `offered`, of a
   * server, what the client had offered.
   */
  text(extensions, offered) {
    const { messages, bytes } = this;
    return JSON.stringify({ messages, bytes, crc: ~this.#crc >>> 0, extensions, offered });
  }
}

/** Echoes what comes over a WebSocket of the web's interface, and closes when it is asked. */
export function echo(socket) {
  const tally = new Tally();
  socket.binaryType = 'arraybuffer';
  socket.onmessage = ({ data }) => {
    if (data === ASKS) {
      socket.send(tally.text(socket.extensions));
      socket.close(1000);
      return;
    }
    tally.add(data);
    socket.send(data);
  };
}
