/** One step of the SDE on a policy's velocity, and the rollout made of such steps. */
import type { Params, Policy, Tensors } from '@flow-grpo/grpo-trainer';
import { applyStep, planSteps, type StepTensors, shiftedSchedule, stackSteps } from '@flow-grpo/sde-sampler';
import { random, scan } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Workload } from '../workload';

/** What a step leaves behind for the update. */
export interface StepRecord {
  readonly next: tf.Tensor;
  readonly logProb: tf.Tensor;
  readonly features: Tensors;
}

/** The recipe's steps: Euler at both ends, noise between. */
export const stackedSteps = ({ steps, noiseLevel }: Workload): StepTensors =>
  stackSteps(planSteps(shiftedSchedule(steps, 3), { noiseLevel }));

/** Draws the noise and takes the step. */
export function sdeStep(step: StepTensors, x: tf.Tensor, velocity: tf.Tensor, key: tf.Tensor) {
  const noise = random.normal(key, x.shape);
  const { next, logProb } = applyStep(step, { x, velocity, noise });
  return { next, logProb: logProb! };
}

/** Velocity and step at x: what a rollout repeats. */
export function denoise<C, P>(
  policy: Policy<C, P>,
  trained: Params,
  condition: C,
  prepared: P,
  rows: tf.Tensor1D,
  x: tf.Tensor,
  step: StepTensors,
  key: tf.Tensor,
): StepRecord {
  const t = tf.tile(tf.reshape(step.t, [1]), [x.shape[0]!]);
  const call = { trained, x, t, condition, rows, prepared, purpose: 'sampling' } as const;
  const { velocity, features } = policy.velocity(call);
  if (!features) throw new Error('the policy keeps no features: more than its head trains');
  return { ...sdeStep(step, x, velocity, key), features };
}

/** All steps from noise to data, the head's text path included; log-probabilities and features of all are kept. */
export function rollOut<C, P>(
  policy: Policy<C, P>,
  trained: Params,
  condition: C,
  rows: tf.Tensor1D,
  steps: StepTensors,
  key: tf.Tensor,
): { latents: tf.Tensor; records: StepRecord } {
  const prepared = policy.prepare?.({ trained, condition, purpose: 'sampling' }) as P;
  const start = random.normal(random.foldIn(key, 0), [rows.shape[0], ...policy.latentShape]);
  const [latents, records] = scan(
    (x: tf.Tensor, { index, ...step }: StepTensors & { index: tf.Tensor }): [tf.Tensor, StepRecord] => {
      const at = random.foldIn(key, index);
      const record = denoise(policy, trained, condition, prepared, rows, x, step, at);
      return [record.next, record];
    },
    start,
    { ...steps, index: tf.range(1, steps.t.shape[0]! + 1, 1, 'int32') },
  );
  return { latents, records };
}
