import { mkdirSync, mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { compilationStats, configure } from '../index';
import { debugOptionsOn, executable, forgetPrograms } from './executables';
import { prunePrograms } from './program-cache';

it('asks CUDA alone for a fixed order of sums, and gives way to options that are named', () => {
  const deterministic = { xla_gpu_exclude_nondeterministic_ops: true, xla_gpu_autotune_level: 0 };
  expect(debugOptionsOn('cuda', true, { deterministic: true })).toMatchObject(deterministic);
  expect(debugOptionsOn('cuda', true, {})).not.toHaveProperty('xla_gpu_exclude_nondeterministic_ops');
  expect(debugOptionsOn('cpu', false, { deterministic: true })).not.toHaveProperty(
    'xla_gpu_exclude_nondeterministic_ops',
  );
  const named = { xla_gpu_exclude_nondeterministic_ops: false };
  expect(debugOptionsOn('cuda', false, { deterministic: true, debugOptions: named })).toMatchObject(named);
});

it('keeps compiled programs on disk, and makes them anew when a file is damaged', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xla-cache-'));
  configure({ compilationCache: folder });
  await tf.setBackend('xla');
  const f = (x: tf.Tensor) => tf.sin(tf.matMul(tf.add(x, 1), x));
  const x = tf.ones([24, 24]);
  const { text } = jit(f).lower(x);
  executable(text, 'first');
  expect(compilationStats()).toMatchObject({ compiled: 1, written: 1 });
  const file = join(folder, readdirSync(folder)[0]!);
  const result = [...jit(f)(x).dataSync()];

  // XLA says that a run has ended a moment after its values are there; until then a program stays.
  const ended = () =>
    expect.poll(() => executable(text, 'first').isRunning, { timeout: 600_000 }).toBe(false);
  await ended();
  forgetPrograms();
  expect([...jit(f)(x).dataSync()]).toEqual(result);
  expect(compilationStats().loadedFromDisk).toBe(1);

  const bytes = readFileSync(file);
  bytes[bytes.length >> 1]! ^= 255;
  writeFileSync(file, bytes);
  await ended();
  forgetPrograms();
  expect([...jit(f)(x).dataSync()]).toEqual(result);
  expect(compilationStats()).toMatchObject({ loadedFromDisk: 1, written: 2 });
  expect(readdirSync(folder)).toHaveLength(1);
});

it('prunes what was used least recently, and files only', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xla-cache-'));
  mkdirSync(join(folder, 'folder'));
  const write = (name: string, used: number) => {
    writeFileSync(join(folder, name), new Uint8Array(100));
    utimesSync(join(folder, name), used, used);
  };
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const [i, name] of names.entries()) write(name, 1000 + i);
  utimesSync(join(folder, 'a'), 2000, 2000);
  const left = () => readdirSync(folder).sort();
  prunePrograms(folder, 500, 5);
  expect(left()).toEqual([...names, 'folder']);
  prunePrograms(folder, 400, 5);
  expect(left()).toEqual(['a', 'd', 'e', 'folder']);
  prunePrograms(folder, 1000, 2);
  expect(left()).toEqual(['a', 'folder']);
});
