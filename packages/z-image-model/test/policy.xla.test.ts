/** The suite of policy.test.ts, on XLA, and what it computes in there. */
import { castParams } from '@flow-grpo/nn';
import { productTypes } from '@flow-grpo/test-support/product-types';
import { cast, jit, storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { promptEncoder } from '../src/index';
import { zImagePolicy } from '../src/policy';
import { tinyParts } from './tiny';
import { useXla } from './xla';

await useXla();
await import('./policy.test');

it('a model held in bfloat16 computes in it, though the weights that train are float32', async () => {
  const { transformer, textEncoder } = tinyParts();
  const encode = promptEncoder(textEncoder!);
  const policy = zImagePolicy({
    config: transformer.config,
    params: castParams(transformer.params, 'bfloat16'),
    encodePrompts: (prompts) => encode(prompts, { length: 96 }),
    decode: (latents) => latents as tf.Tensor4D,
    latentShape: [4, 4, 4],
    guidanceScale: 2,
  });
  const trained = Object.fromEntries(
    policy.trainable.map((name) => [name, cast(policy.params[name]!, 'float32')]),
  );
  const condition = policy.encodePrompts(['red', 'blue']);
  const given = {
    x: tf.zeros([3, 4, 4, 4]),
    t: tf.tensor1d([0.2, 0.5, 0.8]),
    rows: tf.tensor1d([0, 1, 1], 'int32'),
  };
  const sampled = jit((weights: typeof trained) => {
    const call = { trained: weights, condition, purpose: 'sampling' } as const;
    return policy.velocity({ ...call, ...given, prepared: policy.prepare(call) }).velocity;
  });
  const gradients = jit((weights: typeof trained) => {
    const loss = (...values: tf.Tensor[]) => {
      const now = Object.fromEntries(policy.trainable.map((name, i) => [name, values[i]!]));
      const call = { trained: now, condition, purpose: 'training' } as const;
      const { velocity } = policy.velocity({ ...call, ...given, prepared: policy.prepare(call) });
      return tf.sum(tf.square(velocity)) as tf.Scalar;
    };
    return tf.grads(loss)(policy.trainable.map((name) => weights[name]!));
  });
  for (const program of [sampled, gradients]) {
    expect(productTypes(program.lower(trained).text)).toEqual(['bf16 × bf16']);
  }
  const velocity = sampled(trained);
  expect(storageOf(velocity)).toBe('float32');
  expect([...velocity.dataSync()].every(Number.isFinite)).toBe(true);
  for (const gradient of gradients(trained)) expect(storageOf(gradient)).toBe('float32');
});
