import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { compilationStats, configure, jit } from '../index';
import { executable, forgetPrograms } from './executables';

it('keeps compiled programs on disk, and makes them anew when a file is damaged', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xla-cache-'));
  configure({ compilationCache: folder });
  await tf.setBackend('xla');
  // Enough work for XLA that the program is worth a file.
  const f = (x: tf.Tensor) => {
    let y = x;
    for (let i = 0; i < 15; i++) y = tf.sin(tf.matMul(tf.add(y, i), x));
    return y;
  };
  const x = tf.ones([24, 24]);
  const { text } = jit(f).lower(x);
  executable(text, 'first');
  expect(compilationStats().written).toBe(1);
  const file = join(folder, readdirSync(folder)[0]!);
  const result = [...jit(f)(x).dataSync()];

  forgetPrograms();
  expect([...jit(f)(x).dataSync()]).toEqual(result);
  expect(compilationStats().loadedFromDisk).toBe(1);

  const bytes = readFileSync(file);
  bytes[bytes.length >> 1]! ^= 255;
  writeFileSync(file, bytes);
  forgetPrograms();
  expect([...jit(f)(x).dataSync()]).toEqual(result);
  expect(compilationStats()).toMatchObject({ loadedFromDisk: 1, written: 2 });
  expect(readdirSync(folder)).toHaveLength(1);
});
