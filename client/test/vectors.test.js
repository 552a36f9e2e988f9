// What every client of adieu.v1 does: the Rust client reads the same file.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildSync } from 'esbuild';

const file = new URL('../../conformance/adieu.v1.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8'));

/** The modules that the package does not export. */
const { outputFiles } = buildSync({
  stdin: {
    contents: ['wire', 'backoff', 'life'].map((name) => `export * from './${name}.ts';`).join(''),
    resolveDir: new URL('../src', import.meta.url).pathname,
  },
  bundle: true,
  format: 'esm',
  write: false,
});
const source = Buffer.from(outputFiles[0].contents).toString('base64');
const client = await import(`data:text/javascript;base64,${source}`);

const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));

test('offers are written as the vectors say', () => {
  for (const { token, received, tag, acknowledged, nonce, auth, offer } of vectors.offers) {
    const written =
      token !== undefined ? client.resume(token, received, tag ?? '', acknowledged)
      : nonce !== undefined ? client.first(client.base64url(bytes(nonce)))
      : client.auth(auth);
    assert.equal(written, offer);
  }
});

test('messages are written as the vectors say', () => {
  for (const { sequenceId, text, binary, acknowledges, says, message } of vectors.written) {
    const written =
      says === 'goodbye' ? client.GOODBYE
      : says === 'heartbeat' ? client.HEARTBEAT
      : acknowledges !== undefined ? client.acknowledgement(acknowledges)
      : client.numbered(sequenceId, client.encode(text ?? bytes(binary).buffer));
    assert.equal(written, message);
  }
});

test('a Close means what the vectors say', () => {
  const meaning = (code) =>
    code === client.SUPERSEDED ? 'superseded'
    : code === client.REFUSED ? 'refused'
    : client.isFinal(code) ? 'ended'
    : client.VIOLATIONS.includes(code) ? 'violation'
    : 'again';
  for (const { code, means } of vectors.closes) assert.equal(meaning(code), means, String(code));
});

test('the back-off keeps within what the vectors say', (t) => {
  let now = 0;
  let chance = 0;
  t.mock.method(performance, 'now', () => now);
  t.mock.method(Math, 'random', () => chance);
  for (const { about, window, tries } of vectors.backoff) {
    const [low, high] = [new client.Backoff(), new client.Backoff()];
    for (const { at, lasted, from, to } of tries) {
      now = 1_000_000 + at;
      if (lasted !== undefined) [low, high].forEach((backoff) => backoff.lost(lasted));
      chance = 0;
      assert.equal(low.next(window), from, `${about}, at ${at}`);
      chance = 1;
      assert.equal(high.next(window), to, `${about}, at ${at}`);
    }
  }
});
