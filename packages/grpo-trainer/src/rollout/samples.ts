/** What a rollout leaves behind for the update. */
import type { StepTensors } from '@flow-grpo/sde-sampler';
import type * as tf from '@tensorflow/tfjs-core';
import type { Tensors } from '../policy';

/** What is kept of the stochastic steps, sample by sample: N samples of W steps. */
export interface StepRecords {
  /** [N, W, ...latentShape], before the step. */
  readonly x: tf.Tensor;
  /** [N, W, ...latentShape], after it. */
  readonly next: tf.Tensor;
  /** [N, W], of `next` under the velocity that trains. */
  readonly logProb: tf.Tensor;
  /** [N, W, ...latentShape], the step's mean under the same velocity, when asked for. */
  readonly mean?: tf.Tensor;
  /** [N, W, …] each, when the policy gives features. */
  readonly features?: Tensors;
}

/** The samples of an epoch, on the device. */
export interface EpochSamples {
  /** Only where the algorithm trains on recorded steps. */
  readonly records?: StepRecords;
  /** [N, ...latentShape] at t = 1, in the order of the records. */
  readonly latents: tf.Tensor;
  /** int32 [N]: the prompt of each, in this order. */
  readonly promptOf: tf.Tensor1D;
  /** Coefficients of the recorded steps, [W] each. */
  readonly steps?: StepTensors;
}
