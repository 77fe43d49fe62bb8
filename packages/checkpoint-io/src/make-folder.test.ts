import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformSync } from 'esbuild';
import { afterAll, expect, it } from 'vitest';
import { makeFolder } from './make-folder';

const work = mkdtempSync(join(tmpdir(), 'make-folder-'));
afterAll(() => rmSync(work, { recursive: true }));

it('creates what is missing of a path, again and again', () => {
  const folder = join(work, 'a/b/c');
  for (let i = 0; i < 2; i++) {
    makeFolder(folder);
    expect(statSync(folder).isDirectory()).toBe(true);
  }
  makeFolder('/');
});

it('gives the answer of the system, with the place', () => {
  const file = join(work, 'file');
  writeFileSync(file, '');
  const link = join(work, 'link');
  symlinkSync(join(work, 'nowhere'), link);
  const cases = [
    [file, 'EEXIST', file],
    [join(file, 'below'), 'ENOTDIR', join(file, 'below')],
    [link, 'EEXIST', link],
    [join(link, 'below/it'), 'EEXIST', link],
    [join(work, 'n'.repeat(300)), 'ENAMETOOLONG', join(work, 'n'.repeat(300))],
  ] as const;
  for (const [path, code, place] of cases) {
    expect(() => makeFolder(path)).toThrow(expect.objectContaining({ code, path: place }));
  }
  expect(existsSync(join(work, 'nowhere'))).toBe(false);
});

// In a process of its own: where it does not come back, nothing but a kill ends it.
it.runIf(process.platform === 'linux')('comes back where no folder can ever be', () => {
  const source = join(fileURLToPath(new URL('.', import.meta.url)), 'make-folder.ts');
  const script = join(work, 'script.mjs');
  const { code } = transformSync(readFileSync(source, 'utf8'), { loader: 'ts' });
  writeFileSync(
    script,
    `${code}\ntry { makeFolder('/proc/no/such'); } catch (error) { console.log(error.code); }\n`,
  );
  const printed = execFileSync(process.execPath, [script], { timeout: 60_000, killSignal: 'SIGKILL' });
  expect(String(printed)).toBe('ENOENT\n');
});
