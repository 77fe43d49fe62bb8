import * as tf from '@tensorflow/tfjs-core';
import { type Convention, showo2, toDataTime } from '../conventions';
import { timesFor } from '../loops/engine';
import { type AsyncVelocity, asVelocity } from '../loops/velocity';
import { errorWeights, nodes, stages, weights } from './dormand-prince';

export interface AdaptiveOptions {
  /** The latents [B, ...] at `from`. */
  x: tf.Tensor;
  convention?: Convention;
  /** Model times; default pure noise to data. The reverse direction inverts a sample. */
  from?: number;
  to?: number;
  /** Error allowed in a step: atol + rtol·|x|, root mean square over the batch. Default 1e-5 each. */
  rtol?: number;
  atol?: number;
  /** Throws after so many steps, accepted or not; default 1000. */
  maxSteps?: number;
}

export interface AdaptiveResult {
  x: tf.Tensor;
  /** Velocity calls made. */
  evaluations: number;
  accepted: number;
  rejected: number;
}

/**
 * Solves the ODE by Dormand–Prince 5(4) with adaptive steps (order 5; J. Comput. Appl. Math. 6, 1980). The step
 * size is chosen on the host from one number read back a step, so this does not run inside a jit. The whole
 * batch shares its steps. The velocity may be asynchronous; tensors it returns are disposed of.
 */
export async function solveAdaptive(
  velocity: AsyncVelocity,
  options: AdaptiveOptions,
): Promise<AdaptiveResult> {
  const { convention = showo2, rtol = 1e-5, atol = 1e-5, maxSteps = 1000 } = options;
  const { from = convention.noiseTime, to = convention.dataTime } = options;
  if (!(rtol >= 0 && atol >= 0 && rtol + atol > 0)) throw new RangeError('rtol or atol must be above 0');
  if (!(from !== to)) throw new RangeError(`no way to go from ${from} to ${to}`);
  let evaluations = 0;
  const call = async (x: tf.Tensor, time: number) => {
    const t = timesFor(x, time);
    const info = { step: evaluations++, time, progress: toDataTime(time, convention) };
    const answer = await velocity(x, t, info);
    t.dispose();
    return asVelocity(answer, x);
  };

  let time = from;
  let x = tf.clone(options.x);
  let first = await call(x, time);
  let h = (to - from) / 20;
  let accepted = 0;
  let rejected = 0;
  while (time !== to) {
    if (accepted + rejected >= maxSteps) {
      throw new Error(
        `no solution to rtol ${rtol}, atol ${atol} in ${maxSteps} steps: raise maxSteps or the tolerances`,
      );
    }
    // A step that would leave a sliver is stretched to the end.
    const last = Math.abs(to - time) <= Math.abs(h) * 1.01;
    const step = last ? to - time : h;
    const slopes = [first];
    for (const [i, row] of stages.entries()) {
      const at = combine(x, slopes, row, step);
      slopes.push(await call(at, time + nodes[i]! * step));
      at.dispose();
    }
    const next = combine(x, slopes, weights, step);
    const final = await call(next, last ? to : time + step);
    const error = await errorNorm(x, next, [...slopes, final], step, rtol, atol);
    const grow = Math.min(5, Math.max(0.2, 0.9 * (error || 1e-10) ** -0.2));
    const good = error <= 1;
    for (const slope of slopes) if (slope !== first || good) slope.dispose();
    if (good) {
      x.dispose();
      x = next;
      first = final;
      time = last ? to : time + step;
      accepted++;
    } else {
      if (!Number.isFinite(error)) throw new Error(`the velocity is not finite near time ${time}`);
      next.dispose();
      final.dispose();
      rejected++;
    }
    h = step * grow;
  }
  first.dispose();
  return { x, evaluations, accepted, rejected };
}

/** x + h·Σ row·slopes. */
const combine = (x: tf.Tensor, slopes: readonly tf.Tensor[], row: readonly number[], h: number): tf.Tensor =>
  tf.tidy(() => {
    let sum = x;
    row.forEach((weight, i) => {
      if (weight !== 0) sum = tf.add(sum, tf.mul(slopes[i]!, weight * h));
    });
    return sum;
  });

/** Root mean square of the embedded error over the tolerance; a step is good up to 1. */
async function errorNorm(
  x: tf.Tensor,
  next: tf.Tensor,
  slopes: readonly tf.Tensor[],
  h: number,
  rtol: number,
  atol: number,
): Promise<number> {
  const norm = tf.tidy(() => {
    const error = combine(tf.zerosLike(x), slopes, errorWeights, h);
    const allowed = tf.add(tf.mul(tf.maximum(tf.abs(x), tf.abs(next)), rtol), atol);
    return tf.sqrt(tf.mean(tf.square(tf.div(error, allowed))));
  });
  const [value] = await norm.data();
  norm.dispose();
  return value!;
}
