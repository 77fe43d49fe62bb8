import * as tf from '@tensorflow/tfjs-core';
import {
  type AsyncVelocity,
  asVelocity,
  type StepVelocity,
  type Velocity,
  type VelocityInfo,
} from './loops/velocity';
import { stopGradient } from './stop-gradient';

/** Options that hold for all steps alike; what they guide is a `Velocity` again. */
export interface GuidanceEverywhere {
  /** No gradient through the unconditional velocity, as flow_grpo trains. Default false. */
  detachUnconditional?: boolean;
  interval?: undefined;
  zeroInitSteps?: undefined;
}

export interface GuidanceOptions {
  /**
   * Data times [from, to] (0 noise, 1 data) of the guided steps; outside, the conditional velocity alone
   * ("guidance in a limited interval", arXiv 2404.07724). Default always.
   */
  interval?: readonly [number, number];
  /** The first so many steps stand still, velocity 0 (the zero-init of CFG-Zero*, arXiv 2503.18886). Default 0. */
  zeroInitSteps?: number;
  /** No gradient through the unconditional velocity, as flow_grpo trains. Default false. */
  detachUnconditional?: boolean;
}

/**
 * Classifier-free guidance, u + scale·(c − u), of two velocities as one velocity. Scale 0 means no guidance, as in
 * Show-o2 and flow_grpo: the conditional velocity, which is then called alone, as at scale 1. Tensors of velocities
 * that return promises are disposed of.
 * @throws RangeError when the scale is negative or not finite
 */
export function withGuidance(
  conditional: Velocity,
  unconditional: Velocity,
  scale: number,
  options?: GuidanceEverywhere,
): Velocity;
export function withGuidance(
  conditional: StepVelocity,
  unconditional: StepVelocity,
  scale: number,
  options?: GuidanceOptions,
): StepVelocity;
export function withGuidance(
  conditional: AsyncVelocity,
  unconditional: AsyncVelocity,
  scale: number,
  options?: GuidanceOptions,
): AsyncVelocity;
export function withGuidance(
  conditional: AsyncVelocity,
  unconditional: AsyncVelocity,
  scale: number,
  options: GuidanceOptions | GuidanceEverywhere = {},
): AsyncVelocity {
  const { interval: [from, to] = [0, 1], zeroInitSteps = 0, detachUnconditional = false } = options;
  if (!(scale >= 0 && scale < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`the guidance scale must be 0 or more, not ${scale}`);
  }
  if (!(from >= 0 && from <= to && to <= 1)) {
    throw new RangeError(`the guidance interval [${from}, ${to}] must lie in 0..1`);
  }
  const everywhere = options.interval === undefined && zeroInitSteps === 0;
  const isGuided = ({ progress }: VelocityInfo) => progress > from - ROUNDING && progress < to + ROUNDING;
  return (x: tf.Tensor, t: tf.Tensor1D, info: VelocityInfo) => {
    if (!everywhere && !info)
      throw new Error('guidance by steps needs to know the step: give the third argument');
    if (!everywhere && info.step < zeroInitSteps) return tf.zerosLike(x);
    if (scale === 0 || scale === 1 || !(everywhere || isGuided(info))) return conditional(x, t, info);
    const [c, u] = [conditional(x, t, info), unconditional(x, t, info)];
    if (!isPromise(c) && !isPromise(u)) return mix(asVelocity(c, x), asVelocity(u, x));
    return Promise.all([c, u]).then((answers) => {
      const [with_, without] = answers.map((answer) => asVelocity(answer, x)) as [tf.Tensor, tf.Tensor];
      const guided = mix(with_, without);
      // As with every velocity that answers later, what it returned is the loop's to dispose of.
      for (const tensor of [with_, without]) if (tensor !== x) tensor.dispose();
      return guided;
    });
  };

  function mix(with_: tf.Tensor, without: tf.Tensor): tf.Tensor {
    return tf.tidy(() => {
      const base = detachUnconditional ? stopGradient(without) : without;
      return tf.add(base, tf.mul(tf.sub(with_, base), scale));
    });
  }
}

/** A grid's time at an end of the interval is inside it, however a convention's clock rounds it. */
const ROUNDING = 1e-9;

type Answer = tf.Tensor | Float32Array | number[];

const isPromise = (value: unknown): value is Promise<Answer> =>
  typeof (value as PromiseLike<unknown> | undefined)?.then === 'function';
