/** Denoising as one executable: stochastic steps within a window, Euler elsewhere, what training needs kept. */
import { applyStep, logProbOfStep, stepMean } from '@flow-grpo/sde-sampler';
import { jit, random, scan } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Placement } from '../devices';
import { indices } from '../indices';
import type { Params, Policy, Tensors } from '../policy';
import type { StepTensors } from './steps';

/** Which samples of an epoch a call makes. */
export interface RolloutBatch {
  /** int32 [B]: place of each sample in the epoch; its noise depends on this and the key alone. */
  readonly samples: tf.Tensor1D;
  /** int32 [B]: its prompt, an index into the condition. */
  readonly rows: tf.Tensor1D;
}

/** What is kept of the stochastic steps, sample by sample: B samples of W steps. */
export interface StepRecords {
  /** [B, W, ...latentShape], before the step. */
  readonly x: tf.Tensor;
  /** [B, W, ...latentShape], after it. */
  readonly next: tf.Tensor;
  /** [B, W], of `next` under the velocity that trains. */
  readonly logProb: tf.Tensor;
  /** [B, W, ...latentShape], the step's mean under the same velocity, when asked for. */
  readonly mean?: tf.Tensor;
  /** [B, W, …] each, when the policy gives features. */
  readonly features?: Tensors;
}

export interface Rollout {
  /** [B, ...latentShape] at t = 1. */
  readonly latents: tf.Tensor;
  readonly records: StepRecords;
}

export interface RolloutOptions {
  /** Samples of the whole epoch; noise is drawn for all of them, so that batches do not matter. */
  readonly epochSize: number;
  /** All samples of a prompt start from one noise. */
  readonly sameLatent: boolean;
  /** Keep the steps' means (GRPO-Guard needs them). */
  readonly keepMean: boolean;
  readonly placement: Placement;
}

/**
 * The compiled rollout of a policy. Noise of sample i at step s is a function of (key, s, i): it does not
 * depend on how the epoch is cut into batches.
 */
export function rolloutFunction<C, P>(
  policy: Policy<C, P>,
  { epochSize, sameLatent, keepMean, placement }: RolloutOptions,
) {
  const draw = (key: tf.Tensor, index: tf.Tensor1D) =>
    tf.gather(random.normal(key, [epochSize, ...policy.latentShape]), index);
  return jit(
    function rollout(
      trained: Params,
      condition: C,
      batch: RolloutBatch,
      steps: StepTensors,
      window: tf.Tensor1D,
      key: tf.Tensor,
    ): Rollout {
      const prepared = policy.prepare?.(trained, condition) as P;
      const keep = policy.velocityFromFeatures !== undefined;
      const start = draw(random.foldIn(key, 0), sameLatent ? batch.rows : batch.samples);
      const [latents, all] = scan(
        (x: tf.Tensor, step: StepTensors & { index: tf.Tensor }): [tf.Tensor, StepRecords] => {
          const t = tf.mul(tf.fill([x.shape[0]!], 1), step.t);
          const result = policy.velocity(trained, x, t, condition, batch.rows, prepared);
          const noise = draw(random.foldIn(key, step.index), batch.samples);
          const drawn = applyStep(step, { x, velocity: result.velocity, noise });
          const { next } = drawn;
          const trains = result.training && { x, velocity: result.training };
          const record: StepRecords = {
            x,
            next,
            logProb: trains ? logProbOfStep(step, { ...trains, next }) : drawn.logProb!,
            ...(keepMean ? { mean: trains ? stepMean(step, trains) : drawn.mean } : {}),
            ...(keep && result.features ? { features: result.features } : {}),
          };
          return [next, record];
        },
        start,
        { ...steps, index: indices(1, steps.t.shape[0]! + 1) },
      );
      const records = mapTensors(all, (value) => swapFirstAxes(tf.gather(value, window)));
      return { latents: placement.rows(latents), records: placement.rows(records) };
    },
    { name: 'rollout' },
  );
}

/** The compiled sampler of evaluations: Euler steps from the noise of (key, sample), nothing kept. */
export function samplerFunction<C, P>(policy: Policy<C, P>, numSamples: number) {
  return jit(
    function sample(
      trained: Params,
      condition: C,
      batch: RolloutBatch,
      steps: StepTensors,
      key: tf.Tensor,
    ): tf.Tensor {
      const prepared = policy.prepare?.(trained, condition) as P;
      const noise = random.normal(random.foldIn(key, 0), [numSamples, ...policy.latentShape]);
      const [latents] = scan(
        (x: tf.Tensor, step: StepTensors): [tf.Tensor, tf.Tensor] => {
          const t = tf.mul(tf.fill([x.shape[0]!], 1), step.t);
          const { velocity } = policy.velocity(trained, x, t, condition, batch.rows, prepared);
          return [stepMean(step, { x, velocity }), step.t];
        },
        tf.gather(noise, batch.samples),
        steps,
      );
      return latents;
    },
    { name: 'sample' },
  );
}

/** [W, B, …] ↔ [B, W, …] */
function swapFirstAxes(value: tf.Tensor): tf.Tensor {
  return tf.transpose(value, [1, 0, ...value.shape.slice(2).map((_, i) => i + 2)]);
}

/** A pytree of tensors with every tensor replaced. */
export function mapTensors<T>(tree: T, f: (tensor: tf.Tensor) => tf.Tensor): T {
  if (tree instanceof tf.Tensor) return f(tree) as T;
  if (Array.isArray(tree)) return tree.map((item) => mapTensors(item, f)) as T;
  if (tree === null || typeof tree !== 'object') return tree;
  return Object.fromEntries(Object.entries(tree).map(([key, item]) => [key, mapTensors(item, f)])) as T;
}

/** The tensors of a pytree, in the order `mapTensors` meets them. */
export function flattenTensors(tree: unknown): tf.Tensor[] {
  const found: tf.Tensor[] = [];
  mapTensors(tree, (tensor) => {
    found.push(tensor);
    return tensor;
  });
  return found;
}
