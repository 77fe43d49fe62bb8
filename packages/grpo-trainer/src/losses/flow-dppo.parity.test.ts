import { gaussianKl, logProbOf, logRatio, sdeStep } from '@flow-grpo/sde-sampler';
import { fixtureCases, numbers } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, it } from 'vitest';
import { flowDppoLoss, halfSquaredDistance } from './flow-dppo';
import {
  at,
  close,
  evenly,
  gradientsOf,
  objectiveCase,
  stacked,
  velocityOf,
  type Weights,
} from './testing/objective-case';

interface Setting {
  key: string;
  weights: string;
  prompt_shift_size: number;
  threshold: number;
  divide_by_step_variance: boolean;
  eta: number;
  scalars: Record<string, number>;
}

const VALUES = { absolute: 1e-5 };
const DIVERGENCE = { relative: 5e-5 };
/** What UniRL has under the root's bar at pure noise, as a time. */
const NOISE_FLOOR = 1 - 0.99;

describe.each(fixtureCases('objective-flow-dppo'))('$name', ({ dir }) => {
  const { settings, inputs, input, weights, comparison } = objectiveCase<Setting>(dir);
  const [states, nexts, prompt, shift, advantages] = [
    ...['x_t', 'x_next', 'prompt', 'prompt_shift', 'advantages'].map(input),
  ] as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const grid = numbers(inputs.grid!);
  const steps = numbers(inputs.steps!);
  const [S, B] = states.shape as [number, number];

  it.each(settings)('$key', (setting) => {
    const shifted = tf.add(prompt, tf.mul(setting.prompt_shift_size, shift));
    const stepAt = (w: Weights, prompts: tf.Tensor, i: number) => {
      const [x, next] = [at(states, i), at(nexts, i)];
      const [t, tNext] = [grid[steps[i]!]!, grid[steps[i]! + 1]!];
      const velocity = velocityOf(w, x, tf.fill([B], t), prompts);
      const spec = { t, tNext, noiseLevel: setting.eta, sigmaFloor: NOISE_FLOOR, x, velocity };
      const { mean, std } = sdeStep({ ...spec, noise: tf.zerosLike(x) });
      return { velocity, mean, std: std as number, next, logProb: logProbOf(next, spec) };
    };
    const old = steps.map((_, i) => stepAt(weights('old'), prompt, i));
    const lossOf = (w: Weights) => {
      const now = steps.map((_, i) => stepAt(w, shifted, i));
      const divergences = now.map(({ mean, std }, i) =>
        setting.divide_by_step_variance
          ? gaussianKl(mean, old[i]!.mean, std)
          : halfSquaredDistance(mean, old[i]!.mean),
      );
      const ratios = now.map(({ mean, std, next }, i) =>
        logRatio({ mean, oldMean: old[i]!.mean, next, std }),
      );
      const loss = flowDppoLoss(
        {
          logRatio: tf.concat1d(ratios),
          divergence: tf.concat(divergences, 0),
          advantages: tf.tile(advantages, [S]),
          weights: evenly(S * B),
        },
        { threshold: setting.threshold },
      );
      return { now, divergences, ...loss };
    };
    const theta = weights(setting.weights);
    const result = lossOf(theta);
    const perStep = (rows: tf.Tensor) => tf.reshape(tf.cast(rows, 'float32'), [S, B]);
    const std = setting.divide_by_step_variance
      ? result.now.map((step) => step.std)
      : result.now.map(() => 1);
    const compare = comparison(setting.key);
    compare.optional('v_theta', () => stacked(result.now.map(({ velocity }) => velocity)), VALUES);
    compare.optional('mean_theta', () => stacked(result.now.map(({ mean }) => mean)), VALUES);
    compare.optional('mean_old', () => stacked(old.map(({ mean }) => mean)), VALUES);
    compare.equal('log_prob', stacked(result.now.map(({ logProb }) => logProb)), VALUES);
    compare.equal('log_prob_old', stacked(old.map(({ logProb }) => logProb)), VALUES);
    compare.equal('std_step', tf.tensor1d(std), VALUES);
    compare.equal('ratio', perStep(result.ratio), VALUES);
    compare.equal('D', stacked(result.divergences), DIVERGENCE);
    compare.equal('above', perStep(result.above), {});
    compare.equal('masked', perStep(result.masked), {});
    compare.equal('loss_per_sample', perStep(result.rows), VALUES);
    compare.equal('loss', result.loss, VALUES);
    compare.equal('metric.ratio_std', result.metrics.ratioStd, VALUES);
    compare.equal('metric.approx_kl', result.metrics.approxKl, DIVERGENCE);
    compare.equal('metric.kl_new_old_max', result.metrics.maxDivergence, DIVERGENCE);
    compare.equal('metric.masked_fraction', result.metrics.maskedFraction, { absolute: 1e-6 });
    close(result.loss, [setting.scalars.loss!], VALUES, 'scalars.loss');
    compare.gradients(
      gradientsOf((w) => lossOf(w).loss, theta),
      1e-5,
    );
    compare.done();
  });
});
