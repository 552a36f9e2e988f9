// The gateway's own page has the client inside: it must be the one that is built here.
import { readFileSync, writeFileSync } from 'node:fs';

const built = new URL('../dist/index.js', import.meta.url);
const embedded = new URL('../../crates/adieu-gateway/src/page/adieu-client.js', import.meta.url);
const text = readFileSync(built, 'utf8');

if (process.argv.includes('--write')) {
  writeFileSync(embedded, text);
} else if (readFileSync(embedded, 'utf8') !== text) {
  console.error('the page of the gateway has another client than this one: npm run embed');
  process.exit(1);
}
