import { fixtureCases, readJson } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { type AwmWeighting, awmLoss } from './awm';
import { constantDecay, decayAt, linearDecay } from './decay';
import { pointsOnLines } from './rows';
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
import { type DiscreteTimes, logitNormalTimes, stratifiedIndices, timeStrata } from './times';

interface Setting {
  key: string;
  weighting: AwmWeighting;
  ghuber_power: number;
  clip_range: number;
  beta_ref: number;
  eta_slow: number;
  ratio_of: string;
  penalty: 'Uniform' | 'ELBO';
  old: string;
  adv_clip_max: number;
  advantage_max: number | null;
  scalars: Record<'policy' | 'kl_ref' | 'kl_slow' | 'total', number>;
}

interface Times {
  discrete: {
    kind: DiscreteTimes;
    num_steps: number;
    fraction: number;
    times: number;
    uniform: number[];
    lower: number[];
    upper: number[];
    index: number[];
  }[];
  continuous: { shift: number; uniform: number[]; permutation: number[]; t: number[] }[];
}

const VALUES = { absolute: 2e-6 };

describe.each(fixtureCases('objective-awm'))('$name', ({ dir }) => {
  const { settings, input, weights, comparison } = objectiveCase<Setting>(dir);
  const [data, noise, times, prompt] = ['x1', 'noise', 't', 'prompt'].map(input) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  const [T, B] = times.shape as [number, number];

  it.each(settings)('$key', (setting) => {
    const points = Array.from({ length: T }, (_, i) => pointsOnLines(data, at(noise, i), at(times, i)));
    const velocities = (set: Weights) => points.map(({ x }, i) => velocityOf(set, x, at(times, i), prompt));
    const rows = (parts: readonly tf.Tensor[]) => tf.concat([...parts], 0);
    const [referenceVelocities, slowVelocities] = [velocities(weights('ref')), velocities(weights('slow'))];
    const oldVelocity = setting.old === 'theta' ? undefined : rows(velocities(weights(setting.old)));
    const loss = (w: Weights) =>
      awmLoss(
        {
          t: tf.reshape(times, [-1]),
          target: rows(points.map(({ target }) => target)),
          velocity: rows(velocities(w)),
          oldVelocity,
          referenceVelocity: rows(referenceVelocities),
          slowVelocity: rows(slowVelocities),
          advantages: input('advantages'),
          weights: evenly(B),
        },
        {
          weighting: setting.weighting,
          ghuberPower: setting.ghuber_power,
          clipRange: setting.clip_range,
          betaRef: setting.beta_ref,
          etaSlow: setting.eta_slow,
          ratioOf: setting.ratio_of === 'each time' ? 'time' : 'image',
          penalty: setting.penalty,
          advClipMax: setting.adv_clip_max,
          advantageMax: setting.advantage_max,
        },
      );
    const theta = weights('theta');
    const result = loss(theta);
    const compare = comparison(setting.key);
    compare.optional('x_t', () => stacked(points.map(({ x }) => x)), VALUES);
    compare.optional('v_theta', () => stacked(velocities(theta)), VALUES);
    compare.optional('v_ref', () => stacked(referenceVelocities), VALUES);
    compare.optional('v_slow', () => stacked(slowVelocities), VALUES);
    compare.optional('v_old', () => stacked(velocities(weights('old'))), VALUES);
    compare.optional('e', () => result.error, VALUES);
    compare.equal('log_prob', result.logProb, VALUES);
    compare.equal('old_log_prob', result.oldLogProb, VALUES);
    compare.equal('ratio', result.ratio, VALUES);
    compare.equal('a', result.a, VALUES);
    compare.equal('policy', result.policy, VALUES);
    compare.equal('kl_ref', result.klRef, VALUES);
    compare.equal('kl_slow', result.klSlow, VALUES);
    compare.equal('total', result.total, VALUES);
    const scalars = {
      policy: result.policy,
      kl_ref: result.klRef,
      kl_slow: result.klSlow,
      total: result.total,
    };
    for (const [name, value] of Object.entries(setting.scalars)) {
      close(scalars[name as keyof typeof scalars], [value], VALUES, `scalars.${name}`);
    }
    compare.gradients(
      gradientsOf((w) => loss(w).total, theta),
      1e-5,
    );
    compare.done();
  });

  it('the decay of the slow weights', () => {
    const { tables } = readJson<{ tables: Record<string, Record<string, number>> }>(dir, 'decay.json');
    expect(Object.keys(tables).length).toBeGreaterThan(0);
    for (const [name, table] of Object.entries(tables)) {
      const [, kind, value] = /^(linear|constant)\.(.*)$/.exec(name)!;
      const schedule = kind === 'linear' ? linearDecay(Number(value)) : constantDecay(Number(value));
      for (const [step, decay] of Object.entries(table)) {
        expect(Math.abs(decayAt(Number(step), schedule) - decay), `${name} at ${step}`).toBeLessThan(1e-12);
      }
    }
  });

  it('training times from given uniform numbers', () => {
    const { discrete, continuous } = readJson<Times>(dir, 'times.json');
    expect(discrete.length * continuous.length).toBeGreaterThan(0);
    for (const { kind, num_steps, fraction, times: count, uniform, lower, upper, index } of discrete) {
      const strata = timeStrata(kind, num_steps, fraction, count);
      expect(strata).toEqual(lower.map((low, i) => ({ lower: low, upper: upper[i]! })));
      const drawn = [...stratifiedIndices(strata, tf.tensor1d(uniform)).dataSync()];
      expect(kind === 'discrete_with_init' ? [0, ...drawn] : drawn).toEqual(index);
    }
    for (const { shift, uniform, permutation, t } of continuous) {
      const drawn = logitNormalTimes(tf.tensor1d(uniform), shift).dataSync();
      for (const [i, time] of t.entries()) {
        expect(Math.abs(drawn[permutation[i]!]! - time)).toBeLessThan(1e-6);
      }
    }
  });
});
