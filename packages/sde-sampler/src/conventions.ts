import * as tf from '@tensorflow/tfjs-core';
import { along } from './broadcast';

/**
 * How a family of flow models writes time and velocity. Everything else in this package is computed in one
 * clock, "data time": 0 is pure noise, 1 is data, x_t = (1 − t)·noise + t·data, velocity = data − noise.
 */
export interface Convention {
  /** Shown in error messages. */
  readonly name: string;
  /** The model's time of pure noise. */
  readonly noiseTime: number;
  /** The model's time of data. */
  readonly dataTime: number;
  /** 1 where the model predicts data − noise, −1 where it predicts noise − data. */
  readonly velocitySign: 1 | -1;
}

/** Show-o2 and most papers on flow matching: t runs 0 → 1 from noise to data, dx/dt = v. */
export const showo2Convention: Convention = { name: 'showo2', noiseTime: 0, dataTime: 1, velocitySign: 1 };

/** SD3, Flux, Wan, Qwen-Image in diffusers: sigma runs 1 → 0, the model predicts noise − data. */
export const sd3Convention: Convention = { name: 'sd3', noiseTime: 1, dataTime: 0, velocitySign: -1 };

/** The model's time as data time in 0..1; of tensors element by element. */
export function toDataTime(time: number, convention: Convention): number;
export function toDataTime(time: tf.Tensor, convention: Convention): tf.Tensor;
export function toDataTime(
  time: number | tf.Tensor,
  { noiseTime, dataTime }: Convention,
): number | tf.Tensor {
  const span = dataTime - noiseTime;
  return typeof time === 'number' ? (time - noiseTime) / span : tf.div(tf.sub(time, noiseTime), span);
}

/** Data time in 0..1 as the model's time. */
export const fromDataTime = (t: number, { noiseTime, dataTime }: Convention): number =>
  noiseTime + t * (dataTime - noiseTime);

/** A time of one convention as the same instant in another. */
export const convertTime = (time: number, from: Convention, to: Convention): number =>
  fromDataTime(toDataTime(time, from), to);

/** A velocity of one convention as another's: the same tensor, or its negative. */
export const convertVelocity = <T extends tf.Tensor>(velocity: T, from: Convention, to: Convention): T =>
  from.velocitySign === to.velocitySign ? tf.clone(velocity) : tf.neg(velocity);

/** σ_t = noiseLevel·sqrt((1 − t)/t), the diffusion of Flow-GRPO's SDE at a model time. Throws at pure noise. */
export function sigmaAt(time: number, noiseLevel: number, convention: Convention = showo2Convention): number {
  const t = toDataTime(time, convention);
  if (!(t >= 0 && t <= 1)) throw new RangeError(`time ${time} is outside the ${convention.name} convention`);
  if (noiseLevel === 0) return 0;
  if (t === 0) throw new RangeError(`sigma is infinite at pure noise (time ${time} of ${convention.name})`);
  return noiseLevel * Math.sqrt((1 - t) / t);
}

/**
 * The score ∇ log p_t(x) = (t·v − x)/(1 − t), the same tensor in every convention.
 * @param time a number, or [B] numbers, in the model's convention; data itself (t = 1) has no score
 */
export function scoreFromVelocity(
  velocity: tf.Tensor,
  x: tf.Tensor,
  time: number | readonly number[],
  convention: Convention = showo2Convention,
): tf.Tensor {
  const t = mapTimes(time, (each) => toDataTime(each, convention));
  if ([t].flat().some((s) => !(s < 1))) {
    throw new RangeError(
      `the score is not defined at data (time ${convention.dataTime} of ${convention.name})`,
    );
  }
  return tf.tidy(() => {
    const inDataTime = convertVelocity(velocity, convention, showo2Convention);
    const numerator = tf.sub(tf.mul(inDataTime, along(t, x)), x);
    return tf.div(numerator, along(mapTimes(t, noiseShare), x));
  });
}

/** The inverse of `scoreFromVelocity`: v = (x + (1 − t)·score)/t. Pure noise (t = 0) has none. */
export function velocityFromScore(
  score: tf.Tensor,
  x: tf.Tensor,
  time: number | readonly number[],
  convention: Convention = showo2Convention,
): tf.Tensor {
  const t = mapTimes(time, (each) => toDataTime(each, convention));
  if ([t].flat().some((s) => !(s > 0))) {
    const { name, noiseTime } = convention;
    throw new RangeError(
      `the velocity does not follow from the score at pure noise (time ${noiseTime} of ${name})`,
    );
  }
  return tf.tidy(() => {
    const sum = tf.add(x, tf.mul(score, along(mapTimes(t, noiseShare), x)));
    return convertVelocity(tf.div(sum, along(t, x)), showo2Convention, convention);
  });
}

const noiseShare = (t: number) => 1 - t;

/** One time for the batch, or one per sample. */
const mapTimes = (time: number | readonly number[], f: (t: number) => number): number | number[] =>
  typeof time === 'number' ? f(time) : time.map(f);
