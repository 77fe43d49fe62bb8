import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { loadParams, openCheckpoint, saveSafetensors } from './index';

const folder = mkdtempSync(join(tmpdir(), 'checkpoint-io-'));
afterAll(() => rmSync(folder, { recursive: true }));

const params = () => ({
  'a.weight': tf.tensor2d([1, -2, 3.5, Number.NaN, Number.POSITIVE_INFINITY, -0], [2, 3]),
  'a.bias': tf.tensor1d([7, -8], 'int32'),
  flags: tf.tensor1d([true, false, true], 'bool'),
  scalar: tf.scalar(0.1),
  empty: tf.zeros([0, 4]),
});

describe('saveSafetensors', () => {
  it('writes what loadParams reads back, with metadata', async () => {
    const file = join(folder, 'one', 'model.safetensors');
    expect(await saveSafetensors(file, params(), { metadata: { format: 'pt' } })).toEqual([file]);
    const back = await loadParams(file);
    for (const [name, tensor] of Object.entries(params())) {
      expect(back[name]!.shape).toEqual(tensor.shape);
      expect(back[name]!.dtype).toBe(tensor.dtype);
      expect(back[name]!.dataSync()).toEqual(tensor.dataSync());
    }
    const checkpoint = await openCheckpoint(file);
    expect(checkpoint.metadata).toEqual({ format: 'pt' });
    await checkpoint.close();
    expect(readdirSync(join(folder, 'one'))).toEqual(['model.safetensors']);
  });

  it.each([Number.POSITIVE_INFINITY, 20])(
    'shows every byte that it writes, with shards of %d',
    async (shardSize) => {
      const seen = new Map<string, number[]>();
      const written = await saveSafetensors(
        join(folder, `seen-${shardSize}`, 'model.safetensors'),
        params(),
        {
          metadata: { format: 'pt' },
          shardSize,
          onBytes: (bytes, file) => void seen.set(file, [...(seen.get(file) ?? []), ...bytes]),
        },
      );
      const files = written.filter((file) => file.endsWith('.safetensors'));
      expect([...seen.keys()].sort()).toEqual(files.sort());
      for (const file of files) expect(Buffer.from(seen.get(file)!)).toEqual(readFileSync(file));
    },
  );

  it('shards above shardSize, and a later single file replaces the shards', async () => {
    const path = join(folder, 'many');
    const file = join(path, 'model.safetensors');
    const many = Object.fromEntries([0, 1, 2, 3].map((i) => [`w${i}`, tf.fill([4, 4], i)]));
    const written = await saveSafetensors(file, many, { shardSize: 130 });
    expect(written.map((name) => name.slice(path.length + 1))).toEqual([
      'model.safetensors.index.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
    ]);
    const back = await loadParams(path);
    expect(Object.keys(back).sort()).toEqual(Object.keys(many));
    expect(back.w3!.dataSync()).toEqual(many.w3!.dataSync());
    await saveSafetensors(file, many);
    expect(readdirSync(path)).toEqual(['model.safetensors']);
  });

  it('leaves the old file and no other when a tensor cannot be read', async () => {
    const path = join(folder, 'atomic');
    const file = join(path, 'model.safetensors');
    await saveSafetensors(file, { x: tf.scalar(1) });
    const gone = tf.scalar(2);
    gone.dispose();
    await expect(saveSafetensors(file, { x: gone })).rejects.toThrow();
    expect((await loadParams(file)).x!.dataSync()[0]).toBe(1);
    expect(readdirSync(path)).toEqual(['model.safetensors']);
  });

  it('rounds to the nearest 16-bit float, ties to even', async () => {
    const file = join(folder, 'half.safetensors');
    const values = fc.float({ noNaN: true });
    await fc.assert(
      fc.asyncProperty(fc.array(values, { minLength: 1, maxLength: 64 }), async (numbers) => {
        for (const [dtype, digits, least] of [
          ['bfloat16', 8, 2 ** -133],
          ['float16', 11, 2 ** -24],
        ] as const) {
          await saveSafetensors(file, { x: tf.tensor1d(numbers) }, { dtype });
          const back = (await loadParams(file)).x!.dataSync();
          numbers.forEach((number, i) => {
            expect(back[i]).toBe(nearest(number, digits, least, dtype));
          });
        }
      }),
      { numRuns: 50 },
    );
  });

  it('loads a filtered, renamed part', async () => {
    const file = join(folder, 'part.safetensors');
    await saveSafetensors(file, params());
    const part = await loadParams(file, {
      filter: (name) => name.startsWith('a.'),
      rename: (name) => name.slice(2),
    });
    expect(Object.keys(part).sort()).toEqual(['bias', 'weight']);
    await expect(loadParams(file, { rename: () => 'same' })).rejects.toThrow(
      'two tensors are renamed to same',
    );
  });
});

/** Rounds by scaling to an integer: a second way to the same number. */
function nearest(value: number, digits: number, least: number, dtype: string): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const step = Math.max(2 ** (Math.floor(Math.log2(Math.abs(value))) + 1 - digits), least);
  const scaled = value / step;
  const floor = Math.floor(scaled);
  const up = scaled - floor > 0.5 || (scaled - floor === 0.5 && floor % 2 !== 0);
  const rounded = (up ? floor + 1 : floor) * step;
  const largest = dtype === 'float16' ? 65504 : (2 - 2 ** -7) * 2 ** 127;
  if (Math.abs(rounded) > largest) return Math.sign(value) * Number.POSITIVE_INFINITY;
  return rounded === 0 ? (value < 0 ? -0 : 0) : rounded;
}
