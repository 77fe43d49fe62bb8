import * as tf from '@tensorflow/tfjs-core';
import { meanOfSample } from '../broadcast';
import { type Convention, showo2Convention, toDataTime } from '../conventions';
import { timesFor } from '../loops/engine';
import { type AsyncVelocity, asVelocity } from '../loops/velocity';
import { errorWeights, nodes, stages, weights } from './dormand-prince';

export interface AdaptiveOptions {
  /** The latents [B, ...] at `from`. */
  x: tf.Tensor;
  /** Default `showo2Convention`. */
  convention?: Convention;
  /** Model time to start from; default pure noise. From data to noise inverts a sample. */
  from?: number;
  /** Model time to end at; default data. */
  to?: number;
  /**
   * Error allowed in a step, relative to |x|; default 1e-5. A step stands when, of every sample of the batch, the
   * root mean square of error/(atol + rtol·|x|) is 1 or less: the batch shares its steps, and the hardest sample
   * decides how many there are.
   */
  rtol?: number;
  /** Error allowed in a step, absolute; default 1e-5. See `rtol`. */
  atol?: number;
  /** Throws after so many steps, accepted or not; default 1000. */
  maxSteps?: number;
}

export type AdaptiveResult = {
  /** The latents [B, ...] at `to`. */
  x: tf.Tensor;
  /** Velocity calls made. */
  evaluations: number;
  /** Steps taken. */
  accepted: number;
  /** Steps tried and found too long. */
  rejected: number;
};

/**
 * Solves the ODE by Dormand–Prince 5(4) with adaptive steps (order 5; J. Comput. Appl. Math. 6, 1980). The step
 * size is chosen on the host from one number read back a step, so this does not run inside a jit. The velocity
 * may be asynchronous; tensors it returns are disposed of. `step` of its third argument counts accepted steps.
 * @throws RangeError on times outside the convention or tolerances that are none; Error when `maxSteps` do not
 * suffice or the velocity is not finite
 */
export async function solveAdaptive(
  velocity: AsyncVelocity,
  options: AdaptiveOptions,
): Promise<AdaptiveResult> {
  const { convention = showo2Convention, rtol = 1e-5, atol = 1e-5, maxSteps = 1000 } = options;
  const { from = convention.noiseTime, to = convention.dataTime } = options;
  if (!(rtol >= 0 && atol >= 0 && rtol + atol > 0)) throw new RangeError('rtol or atol must be above 0');
  const ends = [from, to].map((time) => toDataTime(time, convention));
  if (from === to || !ends.every((t) => t >= 0 && t <= 1)) {
    const { name, noiseTime, dataTime } = convention;
    throw new RangeError(
      `no way to go from ${from} to ${to}: ${name} has times from ${noiseTime} (noise) to ${dataTime} (data)`,
    );
  }
  let [evaluations, accepted, rejected] = [0, 0, 0];
  const call = async (x: tf.Tensor, time: number) => {
    const t = timesFor(x, time);
    evaluations++;
    try {
      const info = { step: accepted, time, progress: toDataTime(time, convention) };
      const answer = asVelocity(await velocity(x, t, info), x);
      return answer === x ? tf.clone(x) : answer;
    } finally {
      t.dispose();
    }
  };

  /** Tensors alive between two velocities; all are disposed of when something throws. */
  const alive = new Set<tf.Tensor>();
  const hold = <T extends tf.Tensor>(tensor: T): T => {
    alive.add(tensor);
    return tensor;
  };
  const drop = (tensors: Iterable<tf.Tensor>) => {
    for (const tensor of [...tensors]) {
      alive.delete(tensor);
      tensor.dispose();
    }
  };
  try {
    let time = from;
    let x = hold(tf.clone(options.x));
    let first = hold(await call(x, time));
    let h = (to - from) / 20;
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
        const at = hold(combine(x, slopes, row, step));
        slopes.push(hold(await call(at, time + nodes[i]! * step)));
        drop([at]);
      }
      const next = hold(combine(x, slopes, weights, step));
      const final = hold(await call(next, last ? to : time + step));
      const error = await errorNorm(x, next, [...slopes, final], step, rtol, atol);
      if (!Number.isFinite(error)) throw new Error(`the velocity is not finite near time ${time}`);
      drop(slopes.slice(1));
      if (error <= 1) {
        drop([x, first]);
        [x, first] = [next, final];
        time = last ? to : time + step;
        accepted++;
      } else {
        drop([next, final]);
        rejected++;
      }
      h = step * Math.min(5, Math.max(0.2, 0.9 * (error || 1e-10) ** -0.2));
    }
    alive.delete(x);
    return { x, evaluations, accepted, rejected };
  } finally {
    drop(alive);
  }
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

/** The largest of the samples' root mean squares of the embedded error over the tolerance; up to 1 is good. */
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
    return tf.max(meanOfSample(tf.square(tf.div(error, allowed))));
  });
  const [value] = await norm.data();
  norm.dispose();
  return Math.sqrt(value!);
}
