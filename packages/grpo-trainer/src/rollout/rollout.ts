/** Denoising as one executable: stochastic steps within a window, Euler elsewhere, what training needs kept. */
import { applyStep, logProbOfStep, type StepTensors, stepMean } from '@flow-grpo/sde-sampler';
import { jit, random, scan, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { RolloutNeeds } from '../algorithms/algorithm';
import { indices } from '../indices';
import type { Placement } from '../placement';
import type { Params, Policy } from '../policy';
import type { StepRecords } from './samples';

/** Which samples of an epoch a call makes. */
export interface RolloutBatch {
  /** int32 [B]: place of each sample in the epoch; its noise depends on this and the key alone. */
  readonly samples: tf.Tensor1D;
  /** int32 [B]: its prompt, an index into the condition. */
  readonly rows: tf.Tensor1D;
}

export interface Rollout {
  /** [B, ...latentShape] at t = 1. */
  readonly latents: tf.Tensor;
  /** Absent where nothing but the latents is kept. */
  readonly records?: StepRecords;
}

export interface RolloutOptions {
  /** Samples of the whole epoch; noise is drawn for all of them, so that batches do not matter. */
  readonly epochSize: number;
  /** All samples of a prompt start from one noise. */
  readonly sameLatent: boolean;
  /** Whether steps draw noise, and what the algorithm needs of those that do. */
  readonly needs: RolloutNeeds;
  readonly placement: Placement;
}

/**
 * The compiled rollout of a policy; `window` names the steps to keep, which follow one another, where any are. Noise of
 * sample i at step s is a function of (key, s, i): it does not depend on how the epoch is cut into batches.
 */
export function rolloutFunction<C, P>(
  policy: Policy<C, P>,
  { epochSize, sameLatent, needs, placement }: RolloutOptions,
) {
  const draw = (key: tf.Tensor, index: tf.Tensor1D) =>
    tf.gather(random.normal(key, [epochSize, ...policy.latentShape]), index);
  return jit(
    function rollout(
      trained: Params,
      condition: C,
      batch: RolloutBatch,
      steps: StepTensors,
      window: tf.Tensor1D | undefined,
      key: tf.Tensor,
    ): Rollout {
      const prepared = policy.prepare?.({ trained, condition, purpose: 'sampling' }) as P;
      const keepFeatures = policy.velocityFromFeatures !== undefined;
      const start = draw(random.foldIn(key, 0), sameLatent ? batch.rows : batch.samples);
      const [latents, kept] = scan(
        (x: tf.Tensor, step: StepTensors & { index: tf.Tensor }): [tf.Tensor, StepRecords | Nothing] => {
          const t = tf.mul(tf.fill([x.shape[0]!], 1), step.t);
          const { rows } = batch;
          const purpose = 'sampling';
          const result = policy.velocity({ trained, x, t, condition, rows, prepared, purpose });
          if (needs.sampler === 'ode') return [stepMean(step, { x, velocity: result.velocity }), {}];
          const noise = draw(random.foldIn(key, step.index), batch.samples);
          const drawn = applyStep(step, { x, velocity: result.velocity, noise });
          const { next } = drawn;
          if (needs.keep === 'latents') return [next, {}];
          const trains = result.training && { x, velocity: result.training };
          const record: StepRecords = {
            x,
            next,
            logProb: trains ? logProbOfStep(step, { ...trains, next }) : drawn.logProb!,
            ...(needs.keep === 'means' ? { mean: trains ? stepMean(step, trains) : drawn.mean } : {}),
            ...(keepFeatures && result.features ? { features: result.features } : {}),
          };
          return [next, record];
        },
        start,
        { ...steps, index: indices(1, steps.t.shape[0]! + 1) },
        window ? { keep: { first: tf.slice(window, 0, 1), count: window.shape[0] } } : {},
      );
      if (!window) return { latents: placement.shardBatch(latents) };
      const records = tree.map(kept as StepRecords, swapFirstAxes);
      return { latents: placement.shardBatch(latents), records: placement.shardBatch(records) };
    },
    { name: 'rollout' },
  );
}

/** The compiled sampler of evaluations: Euler steps from the noise of (key, sample), nothing kept. */
export function samplerFunction<C, P>(
  policy: Policy<C, P>,
  numSamples: number,
  placement: Pick<Placement, 'keepRows'>,
) {
  return jit(
    function sample(
      trained: Params,
      condition: C,
      batch: RolloutBatch,
      steps: StepTensors,
      key: tf.Tensor,
    ): tf.Tensor {
      const purpose = 'sampling';
      const prepared = policy.prepare?.({ trained, condition, purpose }) as P;
      const noise = random.normal(random.foldIn(key, 0), [numSamples, ...policy.latentShape]);
      const [latents] = scan(
        (x: tf.Tensor, step: StepTensors): [tf.Tensor, tf.Tensor] => {
          const t = tf.mul(tf.fill([x.shape[0]!], 1), step.t);
          const { rows } = batch;
          const { velocity } = policy.velocity({ trained, x, t, condition, rows, prepared, purpose });
          return [stepMean(step, { x, velocity }), step.t];
        },
        tf.gather(noise, batch.samples),
        steps,
      );
      return placement.keepRows(latents);
    },
    { name: 'sample' },
  );
}

type Nothing = Readonly<Record<string, never>>;

/** [W, B, …] ↔ [B, W, …] */
function swapFirstAxes(value: tf.Tensor): tf.Tensor {
  return tf.transpose(value, [1, 0, ...value.shape.slice(2).map((_, i) => i + 2)]);
}
