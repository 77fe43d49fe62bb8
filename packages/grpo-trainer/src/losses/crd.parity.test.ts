import { fixtureCases, readJson } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { crdLoss } from './crd';
import { decayAt, decaySchedule } from './decay';
import { optimality } from './nft';
import { pointsOnLines } from './rows';
import {
  at,
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
  centring: string;
  beta: number;
  kl_weight: number;
  reference_guidance: number;
  adaptive_weight: boolean;
  reward_adaptive_kl: boolean;
  weight_temp: number;
  loss: 'mse' | 'bce';
  adv_clip_max: number;
  scalars: Record<string, number>;
}

const VALUES = { absolute: 5e-6 };

describe.each(fixtureCases('objective-crd'))('$name', ({ dir }) => {
  const { settings, input, weights, comparison } = objectiveCase<Setting>(dir);
  const [data, noise, times, prompt, negative, group] = [
    ...['x1', 'noise', 't', 'prompt', 'negative_prompt', 'group'].map(input),
  ] as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
  const [T, B] = times.shape as [number, number];

  it.each(settings)('$key', (setting) => {
    const rho = optimality(input('advantages'), setting.adv_clip_max);
    const byGroup = setting.centring.startsWith('over each prompt group');
    // One group at a time upstream, then the mean over the groups.
    const rowWeights = byGroup ? evenlyByGroup([...group.dataSync()]) : evenly(B);
    const lossAt = (w: Weights, i: number) => {
      const t = at(times, i);
      const { x, target } = pointsOnLines(data, at(noise, i), t);
      const [velocity, oldVelocity] = [velocityOf(w, x, t, prompt), velocityOf(weights('old'), x, t, prompt)];
      const referenceVelocity = guidedVelocity(
        weights('ref'),
        x,
        t,
        { prompt, negative },
        setting.reference_guidance,
      );
      const loss = crdLoss(
        {
          ...{ target, velocity, oldVelocity, referenceVelocity, rho, weights: rowWeights },
          group: byGroup ? group : tf.zeros([B]),
        },
        {
          beta: setting.beta,
          advClipMax: setting.adv_clip_max,
          klWeight: setting.kl_weight,
          rewardAdaptiveKl: setting.reward_adaptive_kl,
          adaptiveWeight: setting.adaptive_weight,
          weightTemp: setting.weight_temp,
          loss: setting.loss,
        },
      );
      return { x, velocity, oldVelocity, referenceVelocity, ...loss };
    };
    const theta = weights('theta');
    const all = Array.from({ length: T }, (_, i) => lossAt(theta, i));
    type Loss = (typeof all)[number];
    const over = (pick: (loss: Loss) => tf.Tensor) => stacked(all.map(pick));
    const compare = comparison(setting.key);
    compare.optional('x_t', () => over(({ x }) => x), VALUES);
    compare.optional('v_theta', () => over(({ velocity }) => velocity), VALUES);
    compare.optional('v_old', () => over(({ oldVelocity }) => oldVelocity), VALUES);
    compare.optional('v_ref', () => over(({ referenceVelocity }) => referenceVelocity), VALUES);
    compare.equal(
      'rho',
      over(() => rho),
      VALUES,
    );
    compare.equal(
      'R',
      over(({ reward }) => reward),
      VALUES,
    );
    compare.optional('w_theta', () => over(({ weight }) => weight!), VALUES);
    compare.optional('w_old', () => over(({ oldWeight }) => oldWeight!), VALUES);
    compare.equal(
      'R_centred',
      over(({ centred }) => centred[0]!.reward),
      VALUES,
    );
    compare.equal(
      'rho_centred',
      over(({ centred }) => centred[0]!.rho),
      VALUES,
    );
    compare.optional('R_centred_minus', () => over(({ centred }) => centred[1]!.reward), VALUES);
    compare.optional('rho_centred_minus', () => over(({ centred }) => centred[1]!.rho), VALUES);
    compare.equal(
      'kl_per_sample',
      over(({ klRows }) => klRows!),
      VALUES,
    );
    compare.optional('kl_factor', () => over(({ klFactor }) => klFactor!), VALUES);
    compare.equal(
      'policy_unscaled',
      over(({ policyUnscaled }) => policyUnscaled),
      VALUES,
    );
    compare.equal(
      'policy',
      over(({ policy }) => policy),
      VALUES,
    );
    compare.equal(
      'kl_loss',
      over(({ klLoss }) => klLoss),
      VALUES,
    );
    compare.equal(
      'total',
      over(({ total }) => total),
      VALUES,
    );
    compare.gradients(
      gradientsOverTimes(T, (w, i) => lossAt(w, i).total, theta),
      1e-5,
    );
    expect(setting.scalars).toEqual({});
    compare.done();
  });

  it('the decays of the old and of the sampling weights', () => {
    const { tables } = readJson<{ tables: Record<string, Record<string, number>> }>(dir, 'decay.json');
    expect(Object.keys(tables).length).toBeGreaterThan(0);
    for (const [name, table] of Object.entries(tables)) {
      for (const [step, decay] of Object.entries(table)) {
        expect(
          Math.abs(decayAt(Number(step), decaySchedule(name)) - decay),
          `${name} at ${step}`,
        ).toBeLessThan(1e-12);
      }
    }
  });
});

/** Weights that make a weighted sum the mean over groups of their means. */
function evenlyByGroup(groups: readonly number[]): tf.Tensor1D {
  const count = new Set(groups).size;
  return tf.tensor1d(groups.map((id) => 1 / (count * groups.filter((other) => other === id).length)));
}
