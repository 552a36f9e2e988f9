// Fails when what a page has to load grows past its budget.

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const BUDGET = 6_656;

const bundle = readFileSync(new URL('../dist/index.js', import.meta.url));
const bytes = gzipSync(bundle, { level: 9 }).length;
console.log(`dist/index.js: ${bundle.length} bytes, ${bytes} gzipped; less than ${BUDGET} allowed`);
if (bytes >= BUDGET) process.exitCode = 1;
