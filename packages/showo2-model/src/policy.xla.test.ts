/** What Show-o2 computes in, on XLA. */
import '@flow-grpo/tfjs-backend-xla';
import type { Params } from '@flow-grpo/nn';
import { productTypes } from '@flow-grpo/test-support/product-types';
import { cast, jit, random, storageOf } from '@flow-grpo/tfjs-jit';
import { vjp } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { showo2Policy } from './policy';
import { tinyShowo2 } from './testing/tiny-policy';

it('a model held in bfloat16 computes in it, though the weights that train are float32', async () => {
  expect(await tf.setBackend('xla')).toBe(true);
  const { params, ...options } = tinyShowo2();
  const narrow = Object.fromEntries(
    Object.entries(params).map(([name, value]) => [name, cast(value, 'bfloat16')]),
  );
  const policy = showo2Policy({ ...options, params: narrow, guidanceScale: 3 });
  const trained = Object.fromEntries(policy.trainable.map((name) => [name, cast(narrow[name]!, 'float32')]));
  const condition = policy.encodePrompts(['red', 'blue']);
  const rows = tf.tensor1d([0, 1, 1], 'int32');
  const x = random.normal(random.key(9), [3, 4, 4, 4]);
  const t = tf.tensor1d([0.2, 0.5, 0.8]);
  const sampled = jit((weights: Params) => {
    const call = { trained: weights, condition, purpose: 'sampling' } as const;
    return policy.velocity({ ...call, x, t, rows, prepared: policy.prepare!(call) });
  });
  const { velocity, features } = sampled(trained);
  expect(storageOf(velocity)).toBe('float32');
  const gradients = jit((weights: Params) => {
    const f = (...values: tf.Tensor[]) => {
      const now = Object.fromEntries(policy.trainable.map((name, i) => [name, values[i]!]));
      const call = { trained: now, condition } as const;
      const prepared = policy.prepare!({ ...call, purpose: 'training' });
      const again = policy.velocityFromFeatures!({ ...call, features: features!, t, rows, prepared });
      return tf.sum(tf.square(again)) as tf.Scalar;
    };
    return tf.grads(f)(policy.trainable.map((name) => weights[name]!));
  });
  for (const program of [sampled, gradients]) {
    expect(productTypes(program.lower(trained).text)).toEqual(['bf16 × bf16']);
  }
  const made = gradients(trained);
  expect(made.map(storageOf)).toEqual(policy.trainable.map(() => 'float32'));
});

it('a policy whose head trains does not run the trunk backwards for what it prepared', async () => {
  expect(await tf.setBackend('xla')).toBe(true);
  const policy = showo2Policy({ ...tinyShowo2({ layers: 2 }), stackLayers: true, guidanceScale: 3 });
  const trained = Object.fromEntries(policy.trainable.map((name) => [name, policy.params[name]!]));
  const condition = policy.encodePrompts(['red', 'blue']);
  const given = {
    condition,
    rows: tf.tensor1d([0, 1, 1], 'int32'),
    x: random.normal(random.key(9), [3, 4, 4, 4]),
    t: tf.tensor1d([0.2, 0.5, 0.8]),
    purpose: 'training' as const,
  };
  const prepared = policy.prepare!({ trained, condition, purpose: 'training' });
  const velocity = (weights: Params, from: typeof prepared) =>
    policy.velocity({ ...given, trained: weights, prepared: from }).velocity;
  const forward = jit(velocity);
  const backward = jit((weights: Params, from: typeof prepared) => {
    const { keys, headKeys } = from.prompt;
    const xs = [...Object.values(weights), keys, headKeys!];
    return vjp(() => [velocity(weights, from)], xs, [tf.ones(given.x.shape)]).slice(-2);
  });
  const loops = (program: typeof forward | typeof backward) =>
    program.lower(trained, prepared).text.match(/stablehlo\.while/g)!.length;
  expect(loops(backward)).toBe(loops(forward));
  const [ofTrunk, ofHead] = backward(trained, prepared).map(
    (gradient) => tf.max(tf.abs(gradient)).dataSync()[0],
  );
  expect(ofTrunk).toBe(0);
  expect(ofHead).toBeGreaterThan(0);
});
