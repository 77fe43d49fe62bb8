/** How far an epoch's updates moved the velocity, and how far it is from the reference's by now: measured on a few images. */
import { gatherSteps } from '@flow-grpo/sde-sampler';
import { jit, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { noisedPoints, type Pass, type PassRows, recordedPoints } from '../algorithms/pass';
import { allImages } from '../algorithms/units';
import { indices } from '../indices';
import { meanSquare } from '../losses/rows';
import type { Placement } from '../placement';
import type { Params, Policy } from '../policy';
import type { UpdateBatch } from '../rollout/create-rollout';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { EpochSamples } from '../rollout/samples';
import { passOf } from '../update/pass-of';
import { placedRows } from '../update/passes';

/** What the probe measures: means over points and latent dimensions. */
export interface VelocityNumbers {
  /**
   * KL of a step's Gaussian after the epoch's updates from that before them, (μ − μ_old)² / 2·std² per latent dimension (its
   * sum over the latent is the KL in nats); absent where no steps are recorded.
   */
  readonly stepKl?: number;
  /** mean (v − v_before)², v_before before the epoch's updates. */
  readonly velocityChange: number;
  /** mean (v − v_reference)². */
  readonly velocityKl?: number;
  /** Root of mean v², and of mean v_reference². */
  readonly velocityNorm: number;
  readonly referenceVelocityNorm?: number;
}

/** Images that are looked at: of as many prompts as there are. */
const PROBED_IMAGES = 8;
/** Times at which each is noised, where no steps are recorded. */
const PROBED_TIMES = 4;
/** Images are noised each for itself, whatever the algorithm does. */
const ONE_BY_ONE = { copies: {}, units: allImages(PROBED_IMAGES) };
/** The probe's stream of the epoch's key. */
const PROBE_STREAM = 0x9b0be;

/**
 * Starts measuring before an epoch's updates; what it returns is called after them, once. One program computes all
 * velocities, so that weights that have not changed give exactly 0.
 *
 * @param reference the weights that training started from, placed; none where there is no room for them
 */
export function createVelocityProbe<C, P>(policy: Policy<C, P>, plan: EpochPlan, placement: Placement) {
  const { algorithm, epochSize } = plan;
  const recorded = algorithm.rollout.keep !== 'latents';
  const count = placement.devices * Math.ceil(Math.min(PROBED_IMAGES, epochSize) / placement.devices);
  const images = Array.from({ length: count }, (_, i) => Math.floor((i * epochSize) / count));
  const pointsOf = (pass: Pass) =>
    recorded
      ? recordedPoints(pass, algorithm.pointsPerImage)
      : noisedPoints(pass, { timesPerImage: PROBED_TIMES });

  const velocityOf = jit(
    (weights: Params, condition: C, samples: EpochSamples, rows: PassRows): tf.Tensor => {
      const given = { trained: weights, copies: {} };
      const pass = passOf(policy, ONE_BY_ONE, placement, given, condition, samples, rows);
      return placement.shardBatch(pass.velocity('trained', pointsOf(pass)));
    },
    { name: 'probeVelocity' },
  );
  const compare = jit(
    (after: tf.Tensor, before: tf.Tensor, reference: tf.Tensor | undefined, samples: EpochSamples) => {
      const change = meanSquare(after, before);
      const zero = tf.zerosLike(after);
      const norm = (velocity: tf.Tensor) => tf.sqrt(tf.mean(meanSquare(velocity, zero)));
      const numbers = [
        tf.mean(change),
        norm(after),
        ...(recorded ? [tf.mean(tf.mul(change, klPerChange(samples, algorithm.pointsPerImage, count)))] : []),
        ...(reference ? [tf.mean(meanSquare(after, reference)), norm(reference)] : []),
      ];
      return placement.replicate(tf.stack(numbers));
    },
    { name: 'compareVelocities' },
  );

  return (batch: UpdateBatch<C>, trained: Params, reference: Params | undefined, key: tf.Tensor) => {
    const { condition, records, latents, promptOf, steps } = batch;
    const samples: EpochSamples = {
      latents,
      promptOf,
      ...(records && { records }),
      ...(steps && { steps }),
    };
    const rows = rowsOf(images.map(batch.rowOf), placement, key);
    const mine: tf.Tensor[] = tree.leaves(rows);
    const dispose = () => tf.dispose(mine.splice(0));
    const velocity = (weights: Params) => {
      const made = velocityOf(weights, condition, samples, rows);
      mine.push(made);
      return made;
    };
    const before = disposingOnError(dispose, () => velocity(trained));
    return {
      dispose,
      async finish(now: Params): Promise<VelocityNumbers> {
        const numbers = compare(velocity(now), before, reference && velocity(reference), samples);
        dispose();
        const [velocityChange, velocityNorm, ...more] = await numbers.data();
        numbers.dispose();
        const stepKl = recorded ? more.shift() : undefined;
        const [velocityKl, referenceVelocityNorm] = more;
        return {
          ...(stepKl !== undefined && { stepKl }),
          velocityChange: velocityChange!,
          ...(velocityKl !== undefined && { velocityKl }),
          velocityNorm: velocityNorm!,
          ...(referenceVelocityNorm !== undefined && { referenceVelocityNorm }),
        };
      },
    };
  };
}

function disposingOnError<T>(dispose: () => void, f: () => T): T {
  try {
    return f();
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Means move by velocityCoefficient · Δv: (velocityCoefficient / std)² / 2 of each step that trains, for every image. */
function klPerChange({ steps }: EpochSamples, count: number, images: number): tf.Tensor {
  const { velocityCoefficient, std } = gatherSteps(steps!, indices(0, count));
  return tf.tile(tf.mul(0.5, tf.square(tf.div(velocityCoefficient, std))), [images]);
}

function rowsOf(places: readonly number[], placement: Placement, key: tf.Tensor): PassRows {
  const ones = () => tf.ones([places.length]) as tf.Tensor1D;
  const rows = { rows: tf.tensor1d([...places], 'int32'), weights: ones(), advantages: ones() };
  return placedRows(rows, placement, { onPolicy: true, key, stream: PROBE_STREAM });
}
