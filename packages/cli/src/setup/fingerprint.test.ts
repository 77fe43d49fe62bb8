import {
  appendFile,
  cp,
  mkdir,
  mkdtemp,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileInWords, setupFingerprint } from './fingerprint';
import { moduleFiles } from './module-files';
import { toySetup } from './toy';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fingerprint-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a file', () => {
  it('is told by its size and all of its bytes', async () => {
    const file = join(folder, 'small');
    await writeFile(file, 'abc');
    const before = await fileInWords(file);
    expect(before).toMatch(/^3 bytes, sha256 [0-9a-f]{64}$/);
    await writeFile(file, 'abd');
    expect(await fileInWords(file)).not.toBe(before);
  });

  it('that is large by its first and last bytes and parts between', async () => {
    const file = join(folder, 'large');
    await writeFile(file, 'start');
    await truncate(file, 70 * 2 ** 20); // a hole: takes no room on the disk
    const before = await fileInWords(file);
    expect(before).toMatch(/^73400320 bytes, sha256 of 64 parts /);
    await writeFile(file, 'Start', { flag: 'r+' });
    const first = await fileInWords(file);
    expect(first).not.toBe(before);
    await appendFile(file, 'x');
    expect(await fileInWords(file)).not.toBe(first);
  });
});

describe('a setup', () => {
  const module = (path: string, options = {}) => ({ kind: 'module' as const, path, options });

  it('is told by what it trains on, for and with', async () => {
    const path = join(folder, 'setup.mjs');
    await writeFile(path, 'export default () => ({})');
    const made = { ...toySetup(), fingerprint: { own: 'thing' } };
    const before = await setupFingerprint(module(path), made);
    expect(Object.keys(before).sort()).toEqual(
      ['evalPrompts', 'kind', 'module', 'options', 'own', 'prompts', 'scorer'].sort(),
    );
    const changes: Record<string, () => Promise<Readonly<Record<string, string>>>> = {
      options: () => setupFingerprint(module(path, { shift: 1 }), made),
      prompts: () => setupFingerprint(module(path), { ...made, prompts: [{ prompt: 'else' }] }),
      evalPrompts: () => setupFingerprint(module(path), { ...made, evalPrompts: [{ prompt: 'else' }] }),
      scorer: () => setupFingerprint(module(path), { ...made, scorer: { ...made.scorer!, name: 'other' } }),
      own: () => setupFingerprint(module(path), { ...made, fingerprint: { own: 'else' } }),
      module: async () => {
        await writeFile(path, 'export default () => ({ other: 1 })');
        return setupFingerprint(module(path), made);
      },
    };
    for (const [name, change] of Object.entries(changes)) {
      const after = await change();
      const changed = Object.keys(before).filter((key) => before[key] !== after[key]);
      expect(changed).toEqual([name]);
    }
  });

  it('is another one where a prompt’s metadata is', async () => {
    const toy = toySetup();
    const words = (metadata: Record<string, unknown>) =>
      setupFingerprint({ kind: 'toy' }, { ...toy, prompts: [{ prompt: 'a', metadata }] });
    expect(await words({ count: 1 })).not.toEqual(await words({ count: 2 }));
    expect(await words({ count: 1 })).toEqual(await words({ count: 1 }));
  });
});

describe('a module with what it imports', () => {
  const toy = toySetup();
  const files: Readonly<Record<string, string>> = {
    'setup.mjs': `import { a } from './lib/a.mjs';\nimport"./side.mjs";\nexport default () => import(/* later */ './later.mjs');`,
    'lib/a.mjs': "import { createRequire } from 'node:module';\nexport { b as a } from '../lib/b.mjs?v=1';",
    'lib/b.mjs':
      "import table from './table.json' with { type: 'json' };\nimport '../setup.mjs'; // a circle",
    'lib/table.json': '{ "weight": 1 }',
    'lib/typed.ts': 'export const weight: number = 1;',
    'lib/worker.cjs': "module.exports = require('./plain');",
    'lib/plain.js': 'module.exports = 1;',
    'side.mjs': "new Worker(new URL('./lib/worker.cjs', import.meta.url));\nimport './lib/typed.js';",
    'later.mjs': "export const none = ['./missing.mjs', './lib', '/', 'node:fs', './%zz.mjs'];",
  };
  let module: string;
  const words = (path = module) =>
    setupFingerprint({ kind: 'module', path, options: {} }, toy).then((all) => all.module!);
  beforeEach(async () => {
    await mkdir(join(folder, 'code', 'lib'), { recursive: true });
    for (const [name, text] of Object.entries({ ...files, 'unused.mjs': '1' }))
      await writeFile(join(folder, 'code', name), text);
    module = join(folder, 'code', 'setup.mjs');
  });

  it('is all of its files, once each', async () => {
    const found = (await moduleFiles(module)).map(({ name }) => name);
    expect(found[0]).toBe('setup.mjs');
    expect(found.slice(1)).toEqual(
      Object.keys(files)
        .filter((name) => name !== 'setup.mjs')
        .sort(),
    );
  });

  it.each(Object.keys(files))('is another one when %s is, of the same size and time', async (name) => {
    const before = await words();
    const path = join(folder, 'code', name);
    const { mtime } = await stat(path);
    await writeFile(path, `${files[name]!.slice(0, -1)} `);
    await utimes(path, mtime, mtime);
    const after = await words();
    expect(after).not.toBe(before);
    if (name !== 'setup.mjs') expect(after).toContain(`${name}: ${await fileInWords(path)}`);
  });

  it('is the same when a file is changed that it does not import', async () => {
    const before = await words();
    await writeFile(join(folder, 'code', 'unused.mjs'), '2');
    expect(await words()).toBe(before);
  });

  it('is the same in another folder, and behind a link', async () => {
    const before = await words();
    await rename(join(folder, 'code'), join(folder, 'moved'));
    const moved = join(folder, 'moved', 'setup.mjs');
    expect(await words(moved)).toBe(before);
    await symlink(moved, join(folder, 'link.mjs'));
    expect(await words(join(folder, 'link.mjs'))).toBe(before);
    await cp(join(folder, 'moved'), join(folder, 'copied'), { recursive: true });
    expect(await words(join(folder, 'copied', 'setup.mjs'))).toBe(before);
  });
});
