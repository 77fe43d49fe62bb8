/** Estimates a run's memory on each device from its configuration and its policy. */

import type { GrpoConfig, Policy } from '@flow-grpo/grpo-trainer';
import type { AnyAlgorithm } from '@flow-grpo/grpo-trainer/algorithms';
import { epochPlan } from '@flow-grpo/grpo-trainer/config';
import { hasCompiler, jit, storageOf, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';

/** Bytes on one device, not counting what executables need while they run. */
export interface MemoryEstimate {
  /** The policy's own. */
  readonly weights: number;
  /** Masters, two moments, average and gradients of what trains, and the algorithm's copies. */
  readonly training: number;
  /** Steps and features kept of an epoch's samples; undefined where the features cannot be told without running. */
  readonly samples: number | undefined;
  readonly trainedParameters: number;
  readonly parameters: number;
}

/** Float32 copies of the trained weights: masters, mean, variance, average, gradients. */
const COPIES = 5;

/** What the estimate follows from, besides the configuration. */
export interface ModelSizes {
  readonly weightBytes: number;
  readonly parameters: number;
  readonly trainedParameters: number;
  /** Whether an algorithm's reference takes a copy of what trains; not where adapters do. */
  readonly referenceCopies: boolean;
  /** Numbers in one sample's latents. */
  readonly latentSize: number;
  /** Bytes of one sample's features at one step; undefined where they cannot be told without running. */
  readonly featureBytes: number | undefined;
}

/** @param chosen your own algorithm; by default the one that the configuration names */
export function estimateMemory(
  policy: Policy,
  prompt: string,
  config: GrpoConfig,
  chosen?: AnyAlgorithm,
): MemoryEstimate {
  const all = Object.values(policy.params);
  return memoryOf(
    {
      weightBytes: sum(all.map(bytesOf)),
      parameters: sum(all.map(({ size }) => size)),
      trainedParameters: sum(policy.trainable.map((name) => policy.params[name]?.size ?? 0)),
      referenceCopies: policy.untrained === undefined,
      latentSize: policy.latentShape.reduce((a, b) => a * b, 1),
      featureBytes: policy.velocityFromFeatures ? featureBytes(policy, prompt) : 0,
    },
    config,
    chosen,
  );
}

/** The same from sizes alone. */
export function memoryOf(model: ModelSizes, config: GrpoConfig, chosen?: AnyAlgorithm): MemoryEstimate {
  const { epochSize, window, algorithm } = epochPlan(config, chosen);
  const latent = 4 * model.latentSize;
  // Of every recorded step: before and after it, and its mean.
  const states = { latents: 0, steps: 2, means: 3 }[algorithm.rollout.keep];
  const steps = states === 0 ? 0 : window(0).length;
  // What later updates compare with: of all but the first, and how far the current one is from it.
  const { updatesPerEpoch, innerEpochs } = config.training;
  const updates = updatesPerEpoch * innerEpochs;
  const measured =
    updates > 1
      ? ((algorithm.measuredLatents ?? 0) * algorithm.pointsPerImage * updates) / updatesPerEpoch
      : 0;
  const taken = Object.values(algorithm.copies ?? {}).filter(
    ({ moves }) => moves !== 'never' || model.referenceCopies,
  );
  const copies = COPIES + taken.length;
  const { trainedParameters, parameters, featureBytes: features } = model;
  const { devices, shardDevices = devices } = config;
  const share = (split: boolean) => (split ? shardDevices : 1);
  return {
    weights: model.weightBytes / share(config.shardFrozen),
    training: (copies * 4 * trainedParameters) / share(config.shardParameters),
    samples:
      features === undefined
        ? undefined
        : (epochSize * (latent + steps * (states * latent + features) + measured * latent)) / devices,
    trainedParameters,
    parameters,
  };
}

/** Bytes of one sample's features at one step: the velocity is traced, nothing runs. */
function featureBytes(policy: Policy, prompt: string): number | undefined {
  if (!hasCompiler()) return undefined;
  let bytes = 0;
  const traced = jit(
    (x: tf.Tensor, t: tf.Tensor, rows: tf.Tensor1D) => {
      const condition = policy.encodePrompts([prompt]);
      const call = { trained: policy.params, condition, purpose: 'sampling' } as const;
      const prepared = policy.prepare?.(call);
      const { velocity, features } = policy.velocity({ ...call, x, t, rows, prepared });
      bytes = sum(tree.leaves(features ?? []).map(bytesOf));
      return velocity;
    },
    { name: 'features' },
  );
  const args = [tf.zeros([1, ...policy.latentShape]), tf.zeros([1]), tf.zeros([1], 'int32')] as const;
  try {
    traced.lower(args[0], args[1], args[2] as tf.Tensor1D);
    return bytes;
  } catch {
    return undefined; // a policy whose prompts cannot be encoded inside a trace
  } finally {
    tf.dispose([...args]);
  }
}

function bytesOf(tensor: tf.Tensor): number {
  const wide = tensor.dtype !== 'float32' || storageOf(tensor) === 'float32';
  return tensor.size * (wide ? 4 : 2);
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
