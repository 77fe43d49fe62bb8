import { fixtureCases, readJson } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { perPromptAdvantages } from '../maths/advantages';
import { moveCopy } from '../update/copies';
import { decayAt, linearDecay } from './decay';
import { dgpoLoss } from './dgpo';
import { pointsOnLines } from './rows';
import {
  at,
  close,
  evenly,
  gradientsOverTimes,
  guidedVelocity,
  objectiveCase,
  stacked,
  velocityOf,
  type Weights,
} from './testing/objective-case';

interface Setting {
  key: string;
  beta_dpo: number;
  group_size: number;
  clip_range: number;
  kl_weight: number;
  reference_guidance: number;
  group_reference: 'ref' | 'fast';
  clip_policy: boolean;
  clip_kl: boolean;
  adv_clip_max: number;
  scalars: Record<string, number>;
}

const VALUES = { absolute: 5e-6 };
/** The group's sum multiplies the errors by beta_dpo, and with it their rounding. */
const GROUP = { absolute: 5e-6, relative: 5e-4 };

describe.each(fixtureCases('objective-dgpo'))('$name', ({ dir }) => {
  const { settings, input, weights, comparison } = objectiveCase<Setting>(dir);
  const [data, noise, times, prompt, negative, group] = [
    ...['x1', 'noise', 't', 'prompt', 'negative_prompt', 'group'].map(input),
  ] as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const T = times.shape[0]!;
  const groups = [...group.dataSync()];
  /** One row of each group, in the groups' order. */
  const firstOf = [...new Set(groups)].sort((a, b) => a - b).map((id) => groups.indexOf(id));

  it.each(settings)('$key', (setting) => {
    const lossAt = (w: Weights, i: number) => {
      const t = at(times, i);
      const { x, target } = pointsOnLines(data, at(noise, i), t);
      const velocity = velocityOf(w, x, t, prompt);
      const fastVelocity = velocityOf(weights('fast'), x, t, prompt);
      const referenceVelocity = guidedVelocity(
        weights('ref'),
        x,
        t,
        { prompt, negative },
        setting.reference_guidance,
      );
      const loss = dgpoLoss(
        {
          ...{ target, velocity, fastVelocity, group, advantages: input('advantages') },
          referenceVelocity: setting.kl_weight > 0 ? referenceVelocity : undefined,
          groupReferenceVelocity: setting.group_reference === 'fast' ? fastVelocity : referenceVelocity,
          weights: evenly(data.shape[0]!),
        },
        {
          betaDpo: setting.beta_dpo,
          groupSize: setting.group_size,
          clipRange: setting.clip_range,
          clipPolicy: setting.clip_policy,
          clipKl: setting.clip_kl,
          klWeight: setting.kl_weight,
          advClipMax: setting.adv_clip_max,
        },
      );
      return { x, velocity, fastVelocity, referenceVelocity, ...loss };
    };
    const theta = weights('theta');
    const all = Array.from({ length: T }, (_, i) => lossAt(theta, i));
    type Loss = (typeof all)[number];
    const over = (pick: (loss: Loss) => tf.Tensor) => stacked(all.map(pick));
    const ofGroups = (rows: tf.Tensor) => tf.gather(rows, tf.tensor1d(firstOf, 'int32'));
    const saturated = setting.group_reference === 'fast';
    const compare = comparison(setting.key);
    compare.optional('x_t', () => over(({ x }) => x), VALUES);
    compare.optional('v_theta', () => over(({ velocity }) => velocity), VALUES);
    compare.optional('v_ref', () => over(({ referenceVelocity }) => referenceVelocity), VALUES);
    compare.optional('v_fast', () => over(({ fastVelocity }) => fastVelocity), VALUES);
    compare.equal(
      'e_theta',
      over(({ error }) => error),
      VALUES,
    );
    compare.equal(
      'e_ref',
      over(({ groupReferenceError }) => groupReferenceError),
      VALUES,
    );
    compare.optional('e_fast', () => over(({ fastError }) => fastError!), VALUES);
    compare.equal(
      'a',
      over(({ a }) => a),
      VALUES,
    );
    compare.equal(
      'S',
      over(({ groupSum }) => ofGroups(groupSum)),
      GROUP,
    );
    compare.equal(
      'w',
      over(({ groupWeight }) => ofGroups(groupWeight)),
      GROUP,
    );
    compare.optional('q', () => over(({ q }) => q!), VALUES);
    compare.optional('clipped', () => over(({ clipped }) => tf.cast(clipped!, 'float32')), {});
    compare.equal(
      'policy',
      over(({ policy }) => policy),
      saturated ? GROUP : VALUES,
    );
    compare.optional('kl', () => over(({ kl }) => kl), VALUES);
    compare.equal(
      'total',
      over(({ total }) => total),
      saturated ? GROUP : VALUES,
    );
    compare.gradients(
      gradientsOverTimes(T, (w, i) => lossAt(w, i).total, theta),
      saturated ? 5e-4 : 2e-5,
    );
    expect(setting.scalars).toEqual({});
    compare.done();
  });

  it('advantages', () => {
    const { advantages } = perPromptAdvantages(groups.map(String), [...input('rewards').dataSync()]);
    close(
      tf.tensor1d([...advantages]),
      [...input('advantages').dataSync()],
      { absolute: 2e-6 },
      'advantages',
    );
  });

  it('the decay and the blending of the fast weights', () => {
    const { table, run } = readJson<{
      table: Record<string, number>;
      run: { step: number; theta: number[]; fast: number[] }[];
    }>(dir, 'decay.json');
    const schedule = linearDecay(0.3);
    expect(Object.keys(table).length * run.length).toBeGreaterThan(0);
    for (const [step, decay] of Object.entries(table)) {
      expect(Math.abs(decayAt(Number(step), schedule) - decay)).toBeLessThan(1e-12);
    }
    let fast: { w: tf.Tensor } = { w: tf.zeros([run[0]!.theta.length]) };
    for (const { step, theta, fast: expected } of run) {
      fast = moveCopy(fast, { w: tf.tensor1d(theta) }, tf.scalar(1 - decayAt(step, schedule))) as {
        w: tf.Tensor;
      };
      close(fast.w, expected, { absolute: 1e-6 }, `fast weights after step ${step}`);
    }
  });
});
