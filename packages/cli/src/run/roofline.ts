/** The minimum time per epoch: a policy's floating-point operations over the speed of the device. */

import type { GrpoConfig, Params, Policy, Purpose, Tensors } from '@flow-grpo/grpo-trainer';
import { currentPeakTflops } from '@flow-grpo/grpo-trainer';
import type { AnyAlgorithm } from '@flow-grpo/grpo-trainer/algorithms';
import { epochPlan } from '@flow-grpo/grpo-trainer/config';
import { stopGradient } from '@flow-grpo/nn';
import { cast, deviceInfo, type FloatStorage, hasCompiler, jit, storageOf, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

/**
 * Seconds per epoch if every operation ran as fast as a large matrix product. Rewards are not counted.
 *
 * @param peakTflops of one device; by default that of a known one, else measured.
 * @param chosen your own algorithm; by default the one that the configuration names
 * @returns undefined where nothing is compiled, and for a policy that cannot be traced with a prompt.
 */
export function minimumEpochTime(
  policy: Policy,
  prompt: string,
  config: GrpoConfig,
  peakTflops = currentPeakTflops(),
  chosen?: AnyAlgorithm,
): number | undefined {
  const flops = epochFlops(policy, prompt, config, chosen);
  if (flops === undefined) return undefined;
  if (peakTflops !== undefined) return flops / (peakTflops * 1e12 * config.devices);
  // Devices that are parts of one CPU are together as fast as one.
  const share = deviceInfo()[0]?.platform === 'cpu' ? 1 : config.devices;
  return flops / (productRate() * share);
}

/**
 * Floating-point operations of an epoch: rollouts, decoding and gradients with their reference, but what is done once a
 * prompt and the optimizer. Functions are traced for one and two samples; nothing is compiled.
 */
export function epochFlops(
  policy: Policy,
  prompt: string,
  config: GrpoConfig,
  chosen?: AnyAlgorithm,
): number | undefined {
  if (!hasCompiler()) return undefined;
  const plan = epochPlan(config, chosen);
  const { sampling, training } = config;
  const { algorithm } = plan;
  try {
    const { velocity, gradient, decode } = sampleFlops(policy, prompt, {
      fromFeatures: algorithm.rollout.keep !== 'latents',
      copies: Object.keys(algorithm.copies ?? {}).length,
    });
    const made = plan.epochSize * (sampling.numSteps * velocity + decode);
    const { size, perEpoch } = algorithm.units;
    const passes = size * perEpoch * algorithm.pointsPerImage;
    return made + training.innerEpochs * passes * gradient;
  } catch {
    return undefined; // prompts that cannot be encoded inside a trace
  }
}

interface SampleFlops {
  readonly velocity: number;
  /**
   * Of a squared error by the trained weights, from features where `fromFeatures` and the policy allow it, and of the
   * velocities of the algorithm's copies.
   */
  readonly gradient: number;
  readonly decode: number;
}

/** Operations of one more sample: those for two, less those for one. */
function sampleFlops(
  policy: Policy,
  prompt: string,
  { fromFeatures, copies }: { fromFeatures: boolean; copies: number },
): SampleFlops {
  let features: Tensors | undefined;
  let kept: { shape: number[]; storage: FloatStorage }[] = [];
  const prepared = (trained: Params, purpose: Purpose) => {
    const condition = policy.encodePrompts([prompt]);
    return [condition, policy.prepare?.({ trained, condition, purpose })] as const;
  };
  const velocityOf = (trained: Params, { x, t, rows }: Batch, purpose: Purpose) => {
    const [condition, ready] = prepared(trained, purpose);
    return policy.velocity({ trained, x, t, condition, rows, prepared: ready, purpose });
  };
  const velocity = slope((batch) =>
    jit((given: Batch) => {
      const result = velocityOf(policy.params, given, 'sampling');
      features = fromFeatures && policy.velocityFromFeatures ? result.features : undefined;
      kept = tree.leaves(features ?? []).map((value) => ({
        shape: value.shape.slice(1),
        storage: storageOf(value),
      }));
      return result.velocity;
    }).lower(batch),
  );
  const names = policy.trainable;
  const weights = names.map((name) => policy.params[name]!);
  const gradient = slope((batch, count) => {
    let next = 0;
    const given = features && tree.map(features, () => zerosOf(count, kept[next++]!));
    const lowered = jit((at: Batch, from: Tensors | undefined, ...own: tf.Tensor[]) => {
      const trains = (trained: Params) => {
        if (!from) return velocityOf(trained, at, 'training').velocity;
        const [condition, ready] = prepared(trained, 'training');
        const { t, rows } = at;
        return policy.velocityFromFeatures!({ trained, features: from, t, condition, rows, prepared: ready });
      };
      const others = Array.from({ length: copies }, () => stopGradient(() => trains(policy.params)));
      const target = others.length > 0 ? others.reduce((a, b) => tf.add(a, b)) : tf.scalar(0);
      // Squared, since the gradient of a sum needs no value, and what is a constant in it would not be counted.
      return tf.grads((...values: tf.Tensor[]) => {
        const velocity = trains(Object.fromEntries(names.map((name, i) => [name, values[i]!])));
        return tf.sum(tf.square(tf.sub(velocity, target))) as tf.Scalar;
      })(own);
    }).lower(batch, given, ...weights);
    tf.dispose(tree.leaves(given ?? []));
    return lowered;
  });
  const decode = slope(({ x }) => jit((latents: tf.Tensor) => policy.decode(latents)).lower(x));
  return { velocity, gradient, decode };

  function slope(lower: (batch: Batch, count: number) => { readonly flops: number }): number {
    const [one, two] = [1, 2].map((count) => {
      const batch: Batch = {
        x: tf.fill([count, ...policy.latentShape], 0),
        t: tf.fill([count], 0.5),
        rows: tf.zeros([count], 'int32'),
      };
      const { flops } = lower(batch, count);
      tf.dispose(tree.leaves(batch));
      return flops;
    });
    return two! - one!;
  }
}

interface Batch {
  readonly x: tf.Tensor;
  readonly t: tf.Tensor;
  readonly rows: tf.Tensor1D;
}

/** Zeros for `count` samples. */
function zerosOf(count: number, { shape, storage }: { shape: number[]; storage: FloatStorage }): tf.Tensor {
  return tf.tidy(() => cast(tf.fill([count, ...shape], 0), storage));
}

/** Operations per second of the fastest of a few products of 1024 × 1024 matrices. */
function productRate(): number {
  const size = 1024;
  const a = tf.fill<tf.Rank.R2>([size, size], 0.5);
  const seconds = [0, 1, 2, 3].map(() => {
    const started = performance.now();
    const product = tf.matMul(a, a);
    product.dataSync();
    product.dispose();
    return (performance.now() - started) / 1000;
  });
  a.dispose();
  return (2 * size ** 3) / Math.min(...seconds);
}
