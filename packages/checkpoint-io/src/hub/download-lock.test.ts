import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { link } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { locked } from './download-lock';

vi.mock('node:fs/promises', async (original) => {
  const all = await original<typeof import('node:fs/promises')>();
  return { ...all, link: vi.fn(all.link) };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'download-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('a lock that is given back between the attempt to take it and the first look at it is not waited for', async () => {
  vi.mocked(link).mockRejectedValueOnce(Object.assign(new Error('there'), { code: 'EEXIST' }));
  const file = join(folder, 'file');
  let worked = false;
  const work = async () => {
    worked = true;
  };
  // Times as they are; the wait for a lock that nobody renews takes a minute.
  await locked(file, async () => false, work, AbortSignal.timeout(30_000));
  expect(worked).toBe(true);
  expect(existsSync(`${file}.lock`)).toBe(false);
});
