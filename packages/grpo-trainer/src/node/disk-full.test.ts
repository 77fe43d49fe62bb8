import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { checkpointFolder } from './checkpoint-folder';
import { runnerConfig } from './testing/config';
import { runOnce } from './testing/run-once';

/** How many bytes the disk still takes. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const fs = await importOriginal<typeof import('node:fs/promises')>();
  const open: typeof fs.open = async (...args) => {
    const handle = await fs.open(...args);
    const { write, writeFile } = handle;
    const take = (data: unknown) => {
      disk.left -= (data as { length: number }).length;
      if (disk.left < 0) {
        throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      }
    };
    Object.assign(handle, {
      write: async (data: never, ...rest: never[]) => {
        take(data);
        return write.call(handle, data, ...rest);
      },
      writeFile: async (data: never, ...rest: never[]) => {
        take(data);
        return writeFile.call(handle, data, ...rest);
      },
    });
    return handle;
  };
  return { ...fs, open };
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'full-'));
  disk.left = Number.POSITIVE_INFINITY;
});
afterEach(() => rm(folder, { recursive: true }));

// In the first tensors, in the last file of the checkpoint.
it.each([100, 1500])(
  'a disk with %d bytes left ends the run in words, and it goes on from before',
  async (left) => {
    const [whole, full] = [join(folder, 'whole'), join(folder, 'full')];
    await runOnce(whole);
    const onEpoch = ({ epoch }: { epoch: number }) => {
      if (epoch === 3) disk.left = left;
    };
    const ended = runOnce(full, { onEpoch });
    await expect(ended).rejects.toThrow(
      /No space left for a checkpoint in .*full\/checkpoints; earlier ones are intact. .* keepCheckpoints/,
    );
    const checkpoints = (run: string) => join(run, 'checkpoints');
    expect(await readdir(checkpoints(full))).toEqual(['epoch-000001', 'epoch-000002', 'epoch-000003']);
    disk.left = Number.POSITIVE_INFINITY;
    expect((await runOnce(full)).reason).toBe('finished');
    const last = `epoch-00000${runnerConfig.epochs}/trained.safetensors`;
    expect(await readFile(join(checkpoints(full), last))).toEqual(
      await readFile(join(checkpoints(whole), last)),
    );
  },
);

it('a part that fails ends the writing of the others, with its error', async () => {
  let reads = 0;
  const tensor = (data: () => Promise<Float32Array>) => ({ shape: [1], dtype: 'float32', data });
  const good = async () => {
    reads++;
    await pause(1);
    return new Float32Array(1);
  };
  const long = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`w${i}`, tensor(good)]));
  const bad = tensor(async () => {
    throw new Error('the device is gone');
  });
  const store = checkpointFolder(folder);
  const release = await store.acquire();
  const parts = { trained: long, firstMoments: { w: bad }, secondMoments: long, ema: long };
  await expect(store.save({ run: { epoch: 1 }, parts } as never, 1)).rejects.toThrow('the device is gone');
  expect(reads).toBeLessThan(100);
  await release();
  expect(await readdir(folder)).toEqual([]);
});
