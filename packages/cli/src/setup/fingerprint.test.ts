import { appendFile, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileInWords, setupFingerprint } from './fingerprint';
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
