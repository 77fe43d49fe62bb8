/**
 * Packs every package as npm would, with one difference: what it takes from this repository is asked for by the address of
 * its tarball. So one address installs a package and all that it needs of ours, where they are not on a registry.
 *
 *   node scripts/tarballs.mjs [--out FOLDER] [--base ADDRESS]
 *
 * ADDRESS is where the files of FOLDER will be found: those of the GitHub release of this version by default, or e.g.
 * file:/some/folder. The packages must be built.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const { values } = parseArgs({ options: { out: { type: 'string' }, base: { type: 'string' } } });
const out = resolve(values.out ?? 'release');
const { homepage } = read(join(root, 'package.json'));

const folders = readdirSync(join(root, 'packages'));
const manifests = folders.map((folder) => read(join(root, 'packages', folder, 'package.json')));
/** npm's name of a tarball: the scope without its @, then the name. */
const tarball = ({ name, version }) => `${name.replace('@', '').replace('/', '-')}-${version}.tgz`;
const [{ version }] = manifests;
const base = values.base ?? `${homepage}/releases/download/v${version}`;
const addresses = new Map(manifests.map((manifest) => [manifest.name, `${base}/${tarball(manifest)}`]));

mkdirSync(out, { recursive: true });
const paths = folders.map((folder) => `./packages/${folder}`);
execFileSync('npm', ['pack', '--silent', ...paths, '--pack-destination', out], {
  cwd: root,
  stdio: 'inherit',
});
const work = mkdtempSync(join(tmpdir(), 'tarballs-'));
for (const { name, version: own } of manifests) {
  const file = join(out, tarball({ name, version: own }));
  execFileSync('tar', ['xzf', file, '-C', work]);
  const path = join(work, 'package/package.json');
  const manifest = read(path);
  for (const field of ['dependencies', 'peerDependencies']) {
    for (const dependency of Object.keys(manifest[field] ?? {})) {
      const address = addresses.get(dependency);
      if (address === undefined) continue;
      // An optional peer is asked for by whoever needs it.
      if (field === 'peerDependencies') delete manifest[field][dependency];
      else manifest[field][dependency] = address;
    }
  }
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
  execFileSync('tar', ['czf', file, '-C', work, 'package']);
  rmSync(join(work, 'package'), { recursive: true });
}
rmSync(work, { recursive: true });
console.log(`${manifests.length} packages in ${out}; install one by ${base}/FILE`);
