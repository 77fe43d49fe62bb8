import {
  customSchedule,
  gaussianKl,
  importanceRatio,
  logProbOfStep,
  planSteps,
  stackSteps,
  stepMean,
  stepSigma,
} from '@flow-grpo/sde-sampler';
import { expectClose, fixtureCases, maxAbs, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  bestAgainstWorst,
  bestOfGroup,
  type Comparison,
  perPromptAdvantages,
  rawReward,
  standardScore,
} from './advantages';
import { emaDecay, emaDue, emaUpdate } from './ema';
import { clippedPolicyLoss, ratioStatistics } from './loss';

interface LossSetting {
  key: string;
  clip_range: number;
  beta: number;
  adv_clip_max: number;
}
interface AdvantageCase {
  rewards: string;
  type: string;
  global_std?: boolean;
  prompts: string[];
  reward_values: number[] | number[][];
  advantages?: number[] | number[][];
  zero_std_ratio?: number;
  reward_std_mean?: number;
  kept_after_zero_filter?: boolean[];
}

/** By the names of the cases. */
const COMPARISONS = {
  grpo: standardScore,
  rwr: rawReward,
  sft: bestOfGroup,
  dpo: bestAgainstWorst,
} as Record<string, Comparison>;

describe.each(fixtureCases('grpo-loss'))('$name', ({ dir }) => {
  describe('advantages', () => {
    const { cases } = readJson<{ cases: AdvantageCase[] }>(dir, 'advantages.json');
    const column = (rows: number[] | number[][], j: number) =>
      rows.map((row) => (Array.isArray(row) ? row[j]! : row));

    it.each(cases.map((c) => [`${c.rewards} ${c.type} ${c.global_std ?? ''}`, c] as const))('%s', (_, c) => {
      if (c.type === 'statistics') {
        const result = perPromptAdvantages(c.prompts, column(c.reward_values, 0));
        expect(result.zeroVarianceGroups / result.groups).toBeCloseTo(c.zero_std_ratio!, 12);
        expect(Math.abs(result.rewardStd - c.reward_std_mean!)).toBeLessThanOrEqual(1e-12);
        expect(Array.from(result.advantages, (a) => a !== 0)).toEqual(c.kept_after_zero_filter);
        return;
      }
      const width = Array.isArray(c.reward_values[0]) ? c.reward_values[0].length : 1;
      for (let j = 0; j < width; j++) {
        const rewards = column(c.reward_values, j);
        const result =
          c.type === 'batch_normalised'
            ? perPromptAdvantages(
                rewards.map(() => 'all'),
                rewards,
              )
            : perPromptAdvantages(c.prompts, rewards, {
                compare: COMPARISONS[c.type]!,
                globalStd: c.global_std,
              });
        expectClose(result.advantages, column(c.advantages!, j), 1e-12, 'advantages');
      }
    });
  });

  describe('loss', () => {
    const tensors = readTensors(dir, 'loss.safetensors');
    const tensor = (key: string) => tf.tensor(numbers(tensors[key]!), tensors[key]!.shape, 'float32');
    const settings = readJson<LossSetting[]>(dir, 'loss.json');

    it.each(settings.map((s) => [s.key, s] as const))('%s', (key, s) => {
      const oldLogProb = tensor('old_log_prob');
      const advantages = tensor('advantages');
      const sigma = tensor('std_dev_t');
      const reference = tensor('reference_mean');
      const weights = tf.fill(oldLogProb.shape, 1 / oldLogProb.size);
      const parts = (logProb: tf.Tensor, mean: tf.Tensor) => {
        const ratio = importanceRatio(logProb, oldLogProb);
        const policyLoss = tf.mean(
          clippedPolicyLoss(ratio, advantages, { clipRange: s.clip_range, advClipMax: s.adv_clip_max }),
        );
        const kl = tf.mean(gaussianKl(mean, reference, sigma));
        return { ratio, policyLoss, kl, loss: tf.add(policyLoss, tf.mul(s.beta, kl)) };
      };
      const logProb = tensor(`${key}.new_log_prob`);
      const mean = tensor('new_mean');
      const { ratio, policyLoss, kl, loss } = parts(logProb, mean);
      const statistics = ratioStatistics(logProb, oldLogProb, ratio, weights, s.clip_range);
      const close = (actual: tf.Tensor, name: string, tolerance: number) =>
        expectClose(actual.dataSync(), numbers(tensors[`${key}.${name}`]!), tolerance, name);
      close(ratio, 'ratio', 2e-6);
      close(policyLoss, 'policy_loss', 2e-6);
      close(loss, 'loss', 2e-6);
      if (s.beta > 0) close(kl, 'kl_loss', 2e-6);
      const approxKl = numbers(tensors[`${key}.approx_kl`]!);
      close(statistics.approxKl, 'approx_kl', 1e-4 * maxAbs(approxKl));
      close(statistics.clipFraction, 'clipfrac', 2e-6);
      close(statistics.clipFractionAbove, 'clipfrac_gt_one', 2e-6);
      close(statistics.clipFractionBelow, 'clipfrac_lt_one', 2e-6);

      const [gradLogProb, gradMean] = tf.grads((p, m) => parts(p!, m!).loss)([logProb, mean]);
      close(gradLogProb!, 'grad_log_prob', 1e-5 * maxAbs(numbers(tensors[`${key}.grad_log_prob`]!)));
      if (s.beta > 0) close(gradMean!, 'grad_mean', 1e-5 * maxAbs(numbers(tensors[`${key}.grad_mean`]!)));
    });
  });

  describe('from the model output to the loss', () => {
    const tensors = readTensors(dir, 'end_to_end.safetensors');
    const tensor = (key: string) => tf.tensor(numbers(tensors[key]!), tensors[key]!.shape, 'float32');
    type Setting = LossSetting & { sigma: number; sigma_prev: number; noise_level: number };
    const settings = readJson<Setting[]>(dir, 'end_to_end.json');

    it.each(settings.map((s) => [s.key, s] as const))('%s', (key, s) => {
      // SD3's convention: time 1 − σ, velocity −output.
      const x = tensor('sample');
      const schedule = customSchedule([1 - s.sigma, 1 - s.sigma_prev]);
      const [host] = planSteps(schedule, { noiseLevel: s.noise_level, ends: 'floor' });
      const step = stackSteps(new Array(x.shape[0]!).fill(host));
      const next = tensor(`${key}.next_sample`);
      const advantages = tensor('advantages');
      const oldLogProb = tensor(`${key}.old_log_prob`);
      const referenceMean = stepMean(step, { x, velocity: tf.neg(tensor(`${key}.reference_output`)) });
      const parts = (output: tf.Tensor) => {
        const velocity = tf.neg(output);
        const mean = stepMean(step, { x, velocity });
        const logProb = logProbOfStep(step, { x, velocity, next });
        const ratio = importanceRatio(logProb, oldLogProb);
        const policyLoss = tf.mean(
          clippedPolicyLoss(ratio, advantages, { clipRange: s.clip_range, advClipMax: s.adv_clip_max }),
        );
        const kl = tf.mean(gaussianKl(mean, referenceMean, stepSigma(step)));
        return { mean, logProb, ratio, policyLoss, kl, loss: tf.add(policyLoss, tf.mul(s.beta, kl)) };
      };
      const output = tensor(`${key}.model_output`);
      const result = parts(output);
      const close = (actual: tf.Tensor, name: string, tolerance: number) =>
        expectClose(actual.dataSync(), numbers(tensors[`${key}.${name}`]!), tolerance, name);
      close(result.mean, 'new_mean', 2e-6);
      close(referenceMean, 'reference_mean', 2e-6);
      close(result.logProb, 'new_log_prob', 5e-6);
      close(result.ratio, 'ratio', 2e-6);
      close(result.policyLoss, 'policy_loss', 2e-6);
      close(result.kl, 'kl_loss', 2e-6);
      close(result.loss, 'loss', 2e-6);
      const [gradient] = tf.grads((o) => parts(o!).loss)([output]);
      const expected = numbers(tensors[`${key}.grad_model_output`]!);
      close(gradient!, 'grad_model_output', 1e-5 * maxAbs(expected));
    });
  });

  describe('EMA', () => {
    const { decay, runs } = readJson<{
      decay: Record<string, Record<string, number>>;
      runs: { key: string; decay: number; update_step_interval: number; steps: number[] }[];
    }>(dir, 'ema.json');

    it.each(Object.keys(decay))('decay %s', (limit) => {
      for (const [step, value] of Object.entries(decay[limit]!)) {
        expect(emaDecay(Number(step), Number(limit))).toBeCloseTo(value, 14);
      }
    });

    it.each(runs.map((run) => [run.key, run] as const))('%s', (key, run) => {
      const tensors = readTensors(dir, 'ema.safetensors');
      const rows = (name: string) => {
        const { shape } = tensors[`${key}.${name}`]!;
        return tf.unstack(tf.tensor(numbers(tensors[`${key}.${name}`]!), shape, 'float32'));
      };
      const parameter = rows('parameter');
      const expected = rows('ema');
      let ema = { p: expected[0]! };
      for (const [i, step] of run.steps.entries()) {
        if (emaDue(step, run.update_step_interval)) {
          ema = emaUpdate(
            ema,
            { p: parameter[i + 1]! },
            tf.scalar(1 - emaDecay(step, run.decay)),
          ) as typeof ema;
        }
        expectClose(ema.p.dataSync(), expected[i + 1]!.dataSync(), 2e-6, `after step ${step}`);
      }
    });
  });
});
