/** What npm shows of every package, and what continuous integration promises. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const manifest = (folder: string) => JSON.parse(read(join(folder, 'package.json')));
const { homepage, repository, bugs, engines } = manifest('.');
const folders = readdirSync(join(root, 'packages'));

describe.each(folders)('%s', (folder) => {
  const own = manifest(`packages/${folder}`);

  it('says where it comes from, as the repository does (node scripts/manifests.mjs)', () => {
    expect(own).toMatchObject({
      homepage: `${homepage}/tree/main/packages/${folder}`,
      repository: { ...repository, directory: `packages/${folder}` },
      bugs,
      engines,
      publishConfig: { access: 'public' },
    });
    expect(own.keywords.length).toBeGreaterThanOrEqual(3);
    expect(own.description.length).toBeGreaterThan(20);
  });

  it('runs no script when it is installed', () => {
    const scripts = Object.keys(own.scripts ?? {});
    expect(scripts.filter((name) => /^(pre|post)?(install|prepare)$/.test(name))).toEqual([]);
  });

  it('is in the first release, and installs what it takes from this repository at the same version', () => {
    const released = readdirSync(join(root, '.changeset')).filter((name) => name.endsWith('.md'));
    expect(released.map((name) => read(`.changeset/${name}`)).join()).toContain(`'${own.name}': `);
    for (const [name, version] of Object.entries(own.dependencies ?? {})) {
      if (/^(@flow-grpo\/|flow-grpo$)/.test(name)) expect([name, version]).toEqual([name, own.version]);
    }
  });
});

it('continuous integration runs the lowest supported Node and every later long-term one', () => {
  const { jobs } = parse(read('.github/workflows/ci.yml'));
  const versions: string[] = jobs.node.strategy.matrix.node.map(String);
  const [, lowest] = /^>=(\d+\.\d+)$/.exec(engines.node) ?? [];
  expect(versions).toEqual([lowest, '22', '24']);
});

it("peers are versions of tfjs that were tried: the lock file's, or those of scripts/tfjs-versions.sh", () => {
  const script = read('scripts/tfjs-versions.sh');
  const [, tried] = /set -- (4[\d. ]+)/.exec(script)!;
  const [, several] = /PACKAGES:-([\w -]+)/.exec(script)!;
  const versions = tried!.trim().split(' ');
  const own = manifest('.').devDependencies['@tensorflow/tfjs-core'];
  expect(versions.at(-1)).toBe(own);
  for (const folder of folders) {
    const peers = Object.entries<string>(manifest(`packages/${folder}`).peerDependencies ?? {});
    for (const [name, range] of peers.filter(([name]) => name.startsWith('@tensorflow/'))) {
      const wide = name === '@tensorflow/tfjs-core' && several!.split(' ').includes(folder);
      expect([folder, name, range]).toEqual([folder, name, wide ? versions.join(' || ') : own]);
    }
  }
});
