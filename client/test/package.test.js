// What `npm publish` would send: the built files with their types, README and licences, and nothing
// that nobody loads.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const client = join(dirname(fileURLToPath(import.meta.url)), '..');
const read = (file) => readFileSync(join(client, file), 'utf8');
const manifest = JSON.parse(read('package.json'));

test('the package has what is loaded, its types, README and licences, and no more', () => {
  // The scripts would build what is tested here.
  const said = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: client,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const files = JSON.parse(said)[0].files.map((file) => file.path);
  for (const file of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'package.json']) {
    assert.ok(files.includes(file), `${file} is missing: ${files}`);
  }
  for (const { types, default: code } of Object.values(manifest.exports)) {
    for (const file of [types, code]) {
      assert.ok(files.includes(file.replace('./', '')), `${file} is missing: ${files}`);
    }
  }
  const others = files.filter((file) => !/^(dist\/|README|LICENSE|package\.json)/.test(file));
  assert.deepEqual(others, []);
});

test('its licences are those of the repository', () => {
  assert.equal(manifest.license, 'MIT OR Apache-2.0');
  for (const file of ['LICENSE-MIT', 'LICENSE-APACHE']) {
    assert.equal(read(file), read(`../${file}`), file);
  }
});

test('it names the repository that the crates name', () => {
  const cargo = read('../Cargo.toml');
  const address = /^repository = "(.*)"$/m.exec(cargo)?.[1];
  // Until there is an address neither has one; `cargo xtask package` says so before a release.
  const expected = address && { type: 'git', url: `git+${address}.git`, directory: 'client' };
  assert.deepEqual(manifest.repository, expected);
});
