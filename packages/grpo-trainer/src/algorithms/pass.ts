/** What the loss of a gradient pass is computed from, and the points (x, t) that it may look at. */
import { gatherSteps, type StepTensors } from '@flow-grpo/sde-sampler';
import { random, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { indices } from '../indices';
import { pointsOnLines } from '../losses/rows';
import type { Placement } from '../placement';
import type { Tensors } from '../policy';
import type { EpochSamples } from '../rollout/samples';

/** The images of one gradient pass. */
export interface PassRows {
  /**
   * int32 [b]: where the records of each image lie. Members of units stand side by side: first all first members, then all
   * second ones, so that [size, units] is their shape.
   */
  readonly rows: tf.Tensor1D;
  /** int32 [s]: which of the points of these; all of them without it. */
  readonly steps?: tf.Tensor1D;
  /** [b]: share of each in the update; over its images they sum to 1 (0 on padding and on dropped images). */
  readonly weights: tf.Tensor1D;
  /** [b] */
  readonly advantages: tf.Tensor1D;
  /** Scalar 1 while the trained weights are still those that made the samples, else 0. */
  readonly onPolicy: tf.Tensor;
  /** Random key of the pass. */
  readonly key: tf.Tensor;
  /** How far what the algorithm measures has moved since the epoch's first update, by name; 0 without it. */
  readonly changes?: Readonly<Record<string, tf.Tensor>>;
}

/** A gradient pass: its images, their samples, and the velocities at points of theirs. */
export interface Pass extends PassRows {
  readonly samples: EpochSamples;
  readonly placement: Placement;
  /** Images in a unit. */
  readonly unitSize: number;
  /**
   * The velocity at points, [n, …]: of the trained weights, or of a copy by its name, which is a constant for gradients.
   * Where the points carry features, the part of the model behind them runs alone.
   */
  velocity(weights: 'trained' | (string & {}), points: Points): tf.Tensor;
  /**
   * What `value`, of the trained weights, was before the epoch's first update: a constant. While the weights have not
   * changed it equals `value` bit for bit.
   *
   * @param name of what the algorithm's `measure` gives
   */
  before(name: string, value: tf.Tensor): tf.Tensor;
}

/** Points on the way from noise to data, n of them. */
export type Points = {
  /** [n, ...latentShape] */
  readonly x: tf.Tensor;
  /** [n] */
  readonly t: tf.Tensor;
  /** int32 [n]: the prompt of each. */
  readonly prompts: tf.Tensor1D;
  /** [n, …] each, as the policy gave them at these points. */
  readonly features?: Tensors | undefined;
};

/** Recorded steps of a pass: a row for every image and step, the steps of an image together. */
export type RecordedPoints = Points & {
  /** [n] coefficients. */
  readonly step: StepTensors;
  /** [n, ...latentShape], after the step. */
  readonly next: tf.Tensor;
  /** [n], of `next` in the rollout. */
  readonly logProb: tf.Tensor;
  /** [n, ...latentShape], of the step in the rollout, where it was kept. */
  readonly mean?: tf.Tensor | undefined;
  /** [n], summing to 1 over an update. */
  readonly weights: tf.Tensor1D;
  /** [n] */
  readonly advantages: tf.Tensor1D;
};

/**
 * The recorded steps of a pass.
 *
 * @param count how many of the recorded steps train, from the first
 */
export function recordedPoints(pass: Pass, count: number): RecordedPoints {
  const { placement, samples, steps } = pass;
  const { records, steps: coefficients } = samples;
  if (!records || !coefficients) {
    throw new Error("the rollout kept no steps: the algorithm's rollout.keep must be 'steps' or 'means'");
  }
  const chosen = steps ?? indices(0, count);
  const stepOf = tf.tile(chosen, [pass.rows.shape[0]!]);
  const perStep = (value: tf.Tensor1D) => repeatRows(value, chosen.shape[0]);
  // Of a pass's steps alone: the others need not move between devices.
  const chosenOf = (value: tf.Tensor, of?: tf.Tensor) =>
    of ? tf.gather(value, of as tf.Tensor1D, 1) : firstSteps(value, count);
  const { x, next, logProb, features, mean } = tree.map(
    placement.take(records, pass.rows, chosenOf, steps && [steps]),
    (value) => placement.shardBatch(asRows(value)),
  );
  const step = gatherSteps(coefficients, stepOf);
  return {
    x,
    next,
    logProb,
    mean,
    features,
    step,
    t: step.t,
    prompts: placement.shardBatch(perStep(tf.gather(samples.promptOf, pass.rows))),
    weights: tf.div(perStep(pass.weights), count) as tf.Tensor1D,
    advantages: perStep(pass.advantages),
  };
}

/** Points on straight lines from noise to a pass's images: a row for every time and image, the images of a time together. */
export type NoisedPoints = Points & {
  /** [n, ...latentShape]: the images' latents. */
  readonly data: tf.Tensor;
  /** [n, ...latentShape]: data − noise, the velocity of the line. */
  readonly target: tf.Tensor;
};

export interface NoisedPointsOptions {
  /** How many times each image gets. */
  readonly timesPerImage: number;
  /** Members of a unit that share noise and time: its size, or 1 (default). */
  readonly sharing?: number;
  /** Times in (0, 1) of a shape [timesPerImage, images / sharing] from a key; logit-normal by default. */
  readonly drawTimes?: (key: tf.Tensor, shape: [number, number]) => tf.Tensor;
}

/** Points of a pass with new noise. */
export function noisedPoints(
  pass: Pass,
  { timesPerImage, sharing = 1, drawTimes = logitNormal }: NoisedPointsOptions,
): NoisedPoints {
  const { samples, rows, key, placement, steps } = pass;
  const each = rows.shape[0]! / sharing;
  const { all, own } = drawsOf(pass, each, sharing > 1 ? 1 : pass.unitSize);
  const shape = samples.latents.shape.slice(1);
  const times = steps?.shape[0] ?? timesPerImage;
  // Drawn for all times, so that it does not matter how a pass is cut.
  const chosen = (value: tf.Tensor) => (steps ? tf.gather(value, steps) : value);
  const shared = (value: tf.Tensor) => {
    const [, , ...rest] = value.shape;
    const repeated = tf.tile(tf.expandDims(value, 1), [1, sharing, 1, ...rest.map(() => 1)]);
    return tf.reshape(repeated, [times * sharing * each, ...rest]);
  };
  const noise = shared(chosen(own(random.normal(random.foldIn(key, 1), [timesPerImage, all, ...shape]))));
  const t = shared(chosen(own(drawTimes(random.foldIn(key, 2), [timesPerImage, all])))) as tf.Tensor1D;
  const tile = (value: tf.Tensor) => tf.tile(value, [times, ...value.shape.slice(1).map(() => 1)]);
  const data = tile(placement.take(samples.latents, rows));
  return placement.shardBatch({
    t,
    data,
    ...pointsOnLines(data, noise, t),
    prompts: tile(tf.gather(samples.promptOf, rows)) as tf.Tensor1D,
  });
}

/**
 * Where a device has some of a pass's rows, numbers are drawn for all of them, so that it does not matter how many devices
 * there are: how many that is, and those of [times, all, …] that are its own.
 *
 * @param each draws that the own rows need
 * @param members of a unit that have draws of their own
 */
function drawsOf({ placement: { part } }: Pass, each: number, members: number) {
  if (!part) return { all: each, own: (drawn: tf.Tensor) => drawn };
  const units = each / members;
  const first = Int32Array.from(
    { length: each },
    (_, i) => Math.floor(i / units) * units * part.count + (i % units),
  );
  const places = tf.add(tf.tensor1d(first, 'int32'), tf.mul(part.index, tf.scalar(units, 'int32')));
  return { all: each * part.count, own: (drawn: tf.Tensor) => tf.gather(drawn, places as tf.Tensor1D, 1) };
}

/** sigmoid of a normal number: few times near the ends. */
const logitNormal = (key: tf.Tensor, shape: [number, number]) => tf.sigmoid(random.normal(key, shape));

/** [n] → [n · times], each entry repeated. */
function repeatRows(values: tf.Tensor1D, times: number): tf.Tensor1D {
  return tf.reshape(tf.tile(tf.expandDims(values, 1), [1, times]), [values.shape[0]! * times]);
}

/** The first `steps` of [b, W, …]: [b, steps, …]. */
function firstSteps(value: tf.Tensor, steps: number): tf.Tensor {
  const [count, , ...rest] = value.shape;
  const size = [count!, steps, ...rest];
  const begin = size.map(() => 0);
  return tf.slice(value, begin, size);
}

/** [b, s, …] → [b · s, …] */
function asRows(value: tf.Tensor): tf.Tensor {
  const [count, steps, ...rest] = value.shape;
  return tf.reshape(value, [count! * steps!, ...rest]);
}
