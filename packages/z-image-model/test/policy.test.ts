import { maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import { jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { promptEncoder, refineCaptions, zImageVelocity } from '../src/index';
import { LORA_FEED_FORWARD, LORA_TARGETS, type ZImagePolicyOptions, zImagePolicy } from '../src/policy';
import { transformerConfig as config, tinyParts } from './tiny';

await useWasm();

const SHAPE = [4, 6, 4];
const make = (more: Partial<ZImagePolicyOptions> = {}) => {
  const { transformer, textEncoder } = tinyParts();
  const encode = promptEncoder(textEncoder!);
  return zImagePolicy({
    ...transformer,
    encodePrompts: (prompts) => encode(prompts, { length: 96 }),
    decode: (latents) => latents as tf.Tensor4D,
    latentShape: SHAPE,
    ...more,
  });
};
const x = random.normal(random.key(9), [3, ...SHAPE]);
const t = tf.tensor1d([0.2, 0.5, 0.8]);
const rows = tf.tensor1d([1, 0, 1], 'int32');
const prompts = ['red', 'a blue one that is longer'];
const trainedOf = ({ params, trainable }: ReturnType<typeof make>) =>
  Object.fromEntries(trainable.map((name) => [name, params[name]!]));

/** As one program where the backend compiles: each kernel by itself, for each of its shapes, takes far longer to compile. */
const call = (
  policy: ReturnType<typeof make>,
  trained = trainedOf(policy),
  purpose: 'sampling' | 'training' = 'sampling',
) =>
  jit((weights: typeof trained) => {
    const condition = policy.encodePrompts(prompts);
    const prepared = policy.prepare({ trained: weights, condition, purpose });
    return policy.velocity({ trained: weights, condition, prepared, purpose, x, t, rows });
  })(trained);

describe('zImagePolicy', () => {
  it('gives every row the velocity of its own prompt, alone and without its padding', () => {
    const { transformer, textEncoder } = tinyParts();
    const policy = make();
    const values = call(policy).velocity;
    [1, 0, 1].forEach((row, i) => {
      const { params } = transformer;
      const alone = jit((latents: tf.Tensor4D, times: tf.Tensor1D) => {
        const captions = refineCaptions(params, config, promptEncoder(textEncoder!)([prompts[row]!]));
        return zImageVelocity(params, config, latents, times, captions);
      })(tf.slice(x, i, 1) as tf.Tensor4D, tf.slice(t, i, 1));
      expect(maxAbsDiff(tf.slice(values, i, 1).dataSync(), alone.dataSync())).toBeLessThan(1e-5);
    });
  });

  it('guides by c + g (c − u), with the limits of the pipeline', () => {
    const plain = call(make()).velocity.dataSync();
    const guided = (more: Partial<ZImagePolicyOptions>) => call(make({ guidanceScale: 2, ...more })).velocity;
    const full = guided({}).dataSync();
    expect(maxAbsDiff(full, plain)).toBeGreaterThan(1e-3);
    const stopped = guided({ cfgTruncation: 0.6 });
    const [before, after] = [tf.slice(stopped, 0, 2).dataSync(), tf.slice(stopped, 2, 1).dataSync()];
    expect(maxAbsDiff(before, full.slice(0, before.length))).toBeLessThan(1e-6);
    expect(maxAbsDiff(after, plain.slice(before.length))).toBeLessThan(1e-6);
    const limited = guided({ cfgNormalization: 0.5 });
    const lengths = (values: tf.Tensor) =>
      tf.sqrt(tf.sum(tf.square(tf.reshape(values, [3, -1])), 1)).dataSync();
    const limits = lengths(tf.tensor(plain, [3, ...SHAPE]));
    lengths(limited).forEach((length, i) => {
      expect(length).toBeLessThanOrEqual(0.5 * limits[i]! * (1 + 1e-5));
    });
  });

  it('computes the conditional velocity alone in updates where guidance is for sampling', () => {
    const policy = make({ guidanceScale: 2, guidanceInTraining: false });
    const sampled = call(policy);
    const training = call(policy, trainedOf(policy), 'training');
    expect(training.training).toBeUndefined();
    expect(maxAbsDiff(sampled.training!.dataSync(), training.velocity.dataSync())).toBeLessThan(1e-5);
    expect(maxAbsDiff(sampled.velocity.dataSync(), training.velocity.dataSync())).toBeGreaterThan(1e-3);
  });

  it('samples and trains with the same guided velocity', () => {
    const policy = make({ guidanceScale: 2 });
    const [sampled, training] = (['sampling', 'training'] as const).map((purpose) =>
      call(policy, trainedOf(policy), purpose).velocity.dataSync(),
    );
    expect(maxAbsDiff(sampled!, training!)).toBeLessThan(1e-5);
  });

  it.each([true, false])(
    'has gradients of the conditional branch alone, blocks stacked: %s',
    (stackLayers) => {
      const gradients = (guidanceScale: number) => {
        const policy = make({ guidanceScale, stackLayers });
        const names = [...policy.trainable];
        const loss = (...values: tf.Tensor[]) => {
          const trained = Object.fromEntries(names.map((name, i) => [name, values[i]!]));
          return tf.sum(call(policy, trained, 'training').velocity) as tf.Scalar;
        };
        const grads = jit((...values: tf.Tensor[]) => tf.grads(loss)(values));
        return { names, grads: grads(...names.map((name) => policy.params[name]!)) };
      };
      // The sum of the velocities is linear in both branches: (1 + g) times the conditional one's.
      const [plain, guided] = [gradients(0), gradients(1.5)];
      expect(guided.names).toEqual(plain.names);
      for (const [i, name] of plain.names.entries()) {
        const expected = plain.grads[i]!.dataSync().map((value) => 2.5 * value);
        expect(maxAbs(expected), name).toBeGreaterThan(0);
        expect(maxAbsDiff(guided.grads[i]!.dataSync(), expected), name).toBeLessThan(
          1e-4 * maxAbs(expected) + 1e-6,
        );
      }
    },
  );

  it('trains what is asked for, in stacks where that is all layers or none', () => {
    expect(make({ train: LORA_TARGETS.map((name) => `${name}.weight`) }).trainable).toHaveLength(12);
    expect(make({ train: LORA_FEED_FORWARD.map((name) => `${name}.weight`) }).trainable).toHaveLength(9);
    const one = make({ train: ['layers.1.*'] });
    expect(one.trainable.every((name) => name.startsWith('layers.1.'))).toBe(true);
    expect(Object.keys(one.params)).toContain('noise_refiner.*.attention.to_q.weight');
    expect(() => make({ train: ['diffusion'] })).toThrow(/diffusion/);
  });
});
