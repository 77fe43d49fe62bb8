import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const packages = fileURLToPath(new URL('../packages', import.meta.url));

/** What each package may depend on, directly or not: everything on layers below it. */
const BELOW: Record<string, string[]> = {
  pjrt: [],
  'checkpoint-io': [],
  'sde-sampler': [],
  datasets: [],
  create: [],
  'tfjs-jit': [],
  'tfjs-backend-xla': ['tfjs-jit', 'pjrt'],
  nn: ['tfjs-jit'],
  'showo2-model': ['tfjs-jit', 'nn', 'checkpoint-io', 'sde-sampler'],
  'z-image-model': ['tfjs-jit', 'nn', 'checkpoint-io', 'sde-sampler'],
  // flow-grpo-score starts XLA where it is installed.
  rewards: ['tfjs-jit', 'tfjs-backend-xla', 'nn', 'checkpoint-io', 'datasets'],
  'grpo-trainer': ['tfjs-jit', 'nn', 'checkpoint-io', 'sde-sampler'],
  cli: [
    'pjrt',
    'tfjs-jit',
    'tfjs-backend-xla',
    'nn',
    'checkpoint-io',
    'sde-sampler',
    'datasets',
    'create',
    'showo2-model',
    'z-image-model',
    'rewards',
    'grpo-trainer',
  ],
};

/** What a package's build carries in it: no dependency of who installs the package. */
const BUNDLED: Record<string, string[]> = {
  pjrt: ['@flow-grpo/checkpoint-io'], // makeFolder, as in the next two
  'tfjs-backend-xla': ['@flow-grpo/checkpoint-io'],
  create: ['@flow-grpo/checkpoint-io'],
  'sde-sampler': ['@flow-grpo/tfjs-jit'],
  cli: ['@flow-grpo/page-components', 'preact'], // the run's page
  rewards: ['@flow-grpo/page-components', 'preact'], // the page of scores
};

/** The npm name of a folder in packages/; the command's is what one types. */
const npmName = (folder: string) => (folder === 'cli' ? 'flow-grpo' : `@flow-grpo/${folder}`);
const folderOf = Object.fromEntries(Object.keys(BELOW).map((folder) => [npmName(folder), folder]));

interface Manifest {
  name: string;
  license: string;
  type: string;
  files: string[];
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

/** The specifiers of static imports and re-exports that are no relative paths. */
const IMPORT = /^(?:(?:im|ex)port .*|\}) from '([^'.][^']*)';$|^import '([^'.][^']*)';$/gm;

const manifest = (name: string) =>
  JSON.parse(readFileSync(join(packages, name, 'package.json'), 'utf8')) as Manifest;

it('knows every package', () => {
  expect(readdirSync(packages).sort()).toEqual(Object.keys(BELOW).sort());
});

describe.each(Object.keys(BELOW))('%s', (name) => {
  const { dependencies = {}, peerDependencies = {}, ...rest } = manifest(name);

  it('depends on lower layers only', () => {
    const ours = Object.keys({ ...dependencies, ...peerDependencies })
      .filter((dependency) => /^(@flow-grpo\/|flow-grpo$)/.test(dependency))
      .map((dependency) => folderOf[dependency] ?? dependency);
    expect(BELOW[name]).toEqual(expect.arrayContaining(ours));
  });

  it('imports only what it declares', () => {
    const declared = new Set([
      ...Object.keys({ ...dependencies, ...peerDependencies }),
      ...(BUNDLED[name] ?? []),
      rest.name,
    ]);
    const undeclared = new Set<string>();
    for (const file of sources(join(packages, name, 'src'))) {
      for (const [, from, bare] of readFileSync(file, 'utf8').matchAll(IMPORT)) {
        const specifier = (from ?? bare)!;
        const wanted = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/');
        if (!wanted.startsWith('node:') && !declared.has(wanted)) undeclared.add(`${wanted} in ${file}`);
      }
    }
    expect([...undeclared]).toEqual([]);
  });

  it('can be published', () => {
    expect(rest).toMatchObject({ name: npmName(name), license: 'MIT', type: 'module' });
    expect(rest.files).toContain('dist');
    expect(existsSync(join(packages, name, 'README.md'))).toBe(true);
  });
});

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.tsx?$/.test(file) && !/\.(test|testing)\.ts$|testing\//.test(file))
    .map((file) => join(folder, file));
}
