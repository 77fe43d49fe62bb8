import {
  cast,
  hasCompiler,
  jit,
  mesh,
  random,
  scaledDotProductAttention,
  scan,
  shard,
  shardingOf,
  storageOf,
} from '@flow-grpo/tfjs-jit';
import { ATTENTION_INFERENCE, CONVERT, RANDOM_NORMAL } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { configure, observeExecutions, registerXla } from './index';

const NAME = 'xla2';

beforeAll(async () => {
  configure({ devices: 2 });
  expect(registerXla(NAME)).toBe(true);
  expect(await tf.setBackend(NAME)).toBe(true);
});

/** Names of the programs that run meanwhile. */
function programs(work: () => void): string[] {
  const names: string[] = [];
  const stop = observeExecutions(({ name }) => names.push(name));
  work();
  stop();
  return names;
}

it('registered under another name, the backend compiles and runs kernels of its own', () => {
  expect(tf.getBackend()).toBe(NAME);
  expect(hasCompiler()).toBe(true);
  const x = tf.ones([2, 2]);
  expect(programs(() => tf.matMul(x, x))).toEqual(['BatchMatMul']);
  const step = jit(
    (y: tf.Tensor) => scan((c: tf.Tensor) => [tf.tanh(tf.matMul(c, y)), null], y, null, { length: 3 })[0],
    { name: 'step' },
  );
  expect(programs(() => step(x))).toEqual(['step']);
  expect(step.lower(x).text.match(/stablehlo\.while/g)).toHaveLength(1);
});

it('storage, random numbers and attention are its kernels', () => {
  const draw = () => random.normal(random.key(1), [1, 4, 2, 8]);
  expect(programs(draw)).toEqual([RANDOM_NORMAL]);
  const x = draw();
  expect(programs(() => expect(storageOf(cast(x, 'bfloat16'))).toBe('bfloat16'))).toEqual([CONVERT]);
  expect(programs(() => scaledDotProductAttention(x, x, x))).toEqual([ATTENTION_INFERENCE]);
});

it('tensors lie over its devices', () => {
  const x = shard(tf.range(0, 8), mesh({ data: 2 }), ['data']);
  const y = jit((z: tf.Tensor) => tf.mul(z, 2))(x);
  expect(shardingOf(y)!.spec).toEqual(['data']);
  expect([...y.dataSync()]).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
});

it('a name is taken once', () => {
  expect(registerXla(NAME)).toBe(false);
});

it('takes tensors along to and from the backend of the usual name', async () => {
  const x = tf.add(tf.tensor1d([1, 2]), 1);
  await tf.setBackend('xla');
  const y = jit((z: tf.Tensor) => tf.mul(z, 10))(x);
  await tf.setBackend(NAME);
  expect([...tf.add(y, 1).dataSync()]).toEqual([21, 31]);
});
