import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { configure } from '../index';

const parent = mkdtempSync(join(tmpdir(), 'xla-dump-'));
const folder = join(parent, 'programs');
beforeAll(async () => {
  configure({ dumpPrograms: folder });
  await tf.setBackend('xla');
});
afterAll(() => rmSync(parent, { recursive: true, force: true }));

it('writes the text of every program that jit traces, equal ones once', () => {
  const double = () => jit((x: tf.Tensor) => tf.add(x, x), { name: 'double' });
  const square = jit((x: tf.Tensor) => tf.mul(x, x), { name: 'square' });
  const [two, three] = [tf.ones([2]), tf.ones([3])];
  const first = double();
  for (const x of [two, three, two]) tf.dispose(first(x));
  tf.dispose([double()(two), square(two), tf.neg(two)]);
  const files = readdirSync(folder).sort();
  expect(files.map((file) => file.replace(/\.[0-9a-f]{16}\.mlir$/, ''))).toEqual([
    'double',
    'double',
    'square',
  ]);
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8'));
  expect(texts).toContain(square.lower(two).text);
  expect(texts).toContain(first.lower(three).text);
});
