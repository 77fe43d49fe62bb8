import { fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { type AdamWState, adamWInit, adamWScalars, adamWUpdate, clipByGlobalNorm } from '../maths/adamw';
import { perPromptAdvantages } from '../maths/advantages';
import { emaDecay, emaUpdate } from '../maths/ema';
import { moveCopy } from '../update/copies';
import { decayAt, decaySchedule } from './decay';
import { type AdvantageMode, nftLoss, optimality } from './nft';
import { detach, pointsOnLines } from './rows';
import {
  at,
  close,
  evenly,
  gradientsOf,
  objectiveCase,
  stacked,
  toTensor,
  velocityOf,
  type Weights,
} from './testing/objective-case';

interface Setting {
  key: string;
  beta: number;
  adv_clip_max: number;
  kl_weight: number;
  adv_mode: AdvantageMode;
  old_equals_theta: boolean;
  scalars: { objective: number };
}

interface Training {
  epochs: number;
  updates_per_epoch: number;
  times_per_sample: number;
  beta: number;
  adv_clip_max: number;
  kl_weight: number;
  optimizer: { lr: number; betas: [number, number]; eps: number; weight_decay: number };
  max_grad_norm: number;
  decay_type: number;
  global_step_at_start: number;
  decay_by_epoch: number[];
  ema: { decay: number };
}

const VALUES = { absolute: 2e-6, relative: 2e-6 };

describe.each(fixtureCases('objective-nft'))('$name', ({ dir }) => {
  const { settings, input, weights, comparison } = objectiveCase<Setting>(dir);
  const [data, noise, times, prompt] = ['x1', 'noise', 't', 'prompt'].map(input) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  const T = times.shape[0]!;
  const even = evenly(data.shape[0]!);

  it.each(settings)('$key', (setting) => {
    const options = { beta: setting.beta, advClipMax: setting.adv_clip_max, klWeight: setting.kl_weight };
    const [theta, reference] = [weights('theta'), weights('ref')];
    const old = weights(setting.old_equals_theta ? 'theta' : 'old');
    const rho = optimality(input('advantages'), setting.adv_clip_max, setting.adv_mode);
    const lossAt = (w: Weights, i: number) => {
      const t = at(times, i);
      const { x } = pointsOnLines(data, at(noise, i), t);
      const [velocity, oldVelocity, referenceVelocity] = [w, old, reference].map((set) =>
        velocityOf(set, x, t, prompt),
      ) as [tf.Tensor, tf.Tensor, tf.Tensor];
      const loss = nftLoss(
        { x, t, data, velocity, oldVelocity, referenceVelocity, rho, weights: even },
        options,
      );
      return { x, velocity, oldVelocity, referenceVelocity, ...loss };
    };
    const objective = (w: Weights) =>
      tf.div(tf.addN(Array.from({ length: T }, (_, i) => lossAt(w, i).total)), T) as tf.Scalar;

    const all = Array.from({ length: T }, (_, i) => lossAt(theta, i));
    type Loss = (typeof all)[number];
    const over = (pick: (loss: Loss) => tf.Tensor) => stacked(all.map(pick));
    const compare = comparison(setting.key);
    compare.optional('x_t', () => over(({ x }) => x), VALUES);
    compare.optional('v_theta', () => over(({ velocity }) => velocity), VALUES);
    compare.optional('v_old', () => over(({ oldVelocity }) => oldVelocity), VALUES);
    compare.optional('v_ref', () => over(({ referenceVelocity }) => referenceVelocity), VALUES);
    compare.equal('rho', rho, VALUES);
    compare.equal(
      'x1_plus',
      over(({ plus }) => plus.predicted),
      VALUES,
    );
    compare.equal(
      'x1_minus',
      over(({ minus }) => minus.predicted),
      VALUES,
    );
    compare.equal(
      'w_plus',
      over(({ plus }) => plus.weight),
      VALUES,
    );
    compare.equal(
      'w_minus',
      over(({ minus }) => minus.weight),
      VALUES,
    );
    compare.equal(
      'loss_plus',
      over(({ plus }) => plus.loss),
      VALUES,
    );
    compare.equal(
      'loss_minus',
      over(({ minus }) => minus.loss),
      VALUES,
    );
    compare.equal(
      'policy_per_sample',
      over(({ policyRows }) => policyRows),
      VALUES,
    );
    compare.equal(
      'policy',
      over(({ policy }) => policy),
      VALUES,
    );
    compare.equal(
      'kl_per_sample',
      over(({ klRows }) => klRows!),
      VALUES,
    );
    compare.equal(
      'kl',
      over(({ kl }) => kl),
      VALUES,
    );
    compare.equal(
      'total',
      over(({ total }) => total),
      VALUES,
    );
    compare.equal('objective', objective(theta), VALUES);
    close(objective(theta), [setting.scalars.objective], VALUES, 'scalars.objective');
    compare.gradients(gradientsOf(objective, theta), 1e-5);
    compare.done();
  });

  it('advantages', () => {
    const groups = [...input('group').dataSync()].map(String);
    const rewards = [...input('rewards').dataSync()];
    for (const [name, globalStd] of [
      ['advantages', true],
      ['advantages_group_std', false],
    ] as const) {
      const { advantages } = perPromptAdvantages(groups, rewards, { globalStd });
      close(tf.tensor1d([...advantages]), [...input(name).dataSync()], VALUES, name);
    }
  });

  it('the decay of the old weights', () => {
    const { types } = readJson<{ types: Record<string, Record<string, number>> }>(dir, 'decay.json');
    expect(Object.keys(types).length).toBeGreaterThan(0);
    for (const [type, table] of Object.entries(types)) {
      for (const [step, decay] of Object.entries(table)) {
        expect(Math.abs(decayAt(Number(step), decaySchedule(type)) - decay)).toBeLessThan(1e-12);
      }
    }
  });

  it('a training run: clipped gradients, AdamW, old weights and their average', () => {
    const run = readJson<Training>(dir, 'training.json');
    const file = readTensors(dir, 'training.safetensors');
    const tensor = (name: string) => toTensor(file[name]!);
    const left = new Set(Object.keys(file).filter((name) => name.startsWith('out.')));
    const compare = (name: string, row: number, actual: tf.Tensor, absolute = 0) => {
      left.delete(`out.${name}`);
      const expected = toTensor(file[`out.${name}`]!);
      close(actual, [...at(expected, row).dataSync()], { absolute, relative: 1e-5 }, `${name}[${row}]`);
    };
    const compareAll = (name: string, row: number, actual: Weights) => {
      for (const part of ['W', 'b', 'c'] as const) compare(`${name}.${part}`, row, actual[part], 1e-6);
    };
    const named = (set: string): Weights => ({
      W: tensor(`${set}.W`),
      b: tensor(`${set}.b`),
      c: tensor(`${set}.c`),
    });
    const { lr, betas, eps, weight_decay } = run.optimizer;
    const adamw = { beta1: betas[0], beta2: betas[1], epsilon: eps, weightDecay: weight_decay };
    const schedule = decaySchedule(run.decay_type);
    const loss = { beta: run.beta, advClipMax: run.adv_clip_max, klWeight: run.kl_weight };

    const reference = named('ref');
    let theta = named('start');
    let [old, ema] = [theta, theta];
    let state: AdamWState = adamWInit(theta);
    let steps = 0;
    for (let epoch = 0; epoch < run.epochs; epoch++) {
      const [x1, noises, ts, prompts, advantages] = ['x1', 'noise', 't', 'prompt', 'advantages'].map((name) =>
        tensor(`epoch${epoch}.${name}`),
      ) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const order = numbers(file[`epoch${epoch}.order`]!);
      const size = order.length / run.updates_per_epoch;
      for (let update = 0; update < run.updates_per_epoch; update++) {
        const rows = tf.tensor1d(order.slice(update * size, (update + 1) * size), 'int32');
        const images = tf.gather(x1, rows);
        const rho = optimality(tf.gather(advantages, rows), run.adv_clip_max);
        const part = (w: Weights, i: number) => {
          const t = tf.gather(at(ts, i), rows);
          const { x } = pointsOnLines(images, tf.gather(at(noises, i), rows), t);
          const v = (set: Weights) => velocityOf(set, x, t, tf.gather(prompts, rows));
          return nftLoss(
            {
              ...{ x, t, data: images, rho, weights: evenly(size) },
              ...{ velocity: v(w), oldVelocity: detach(v(old)), referenceVelocity: detach(v(reference)) },
            },
            loss,
          );
        };
        const mean = (pick: (result: ReturnType<typeof part>) => tf.Tensor, w: Weights) =>
          tf.div(
            tf.addN(Array.from({ length: run.times_per_sample }, (_, i) => pick(part(w, i)))),
            run.times_per_sample,
          ) as tf.Scalar;
        const index = epoch * run.updates_per_epoch + update;
        compare(
          'objective',
          index,
          mean(({ total }) => total, theta),
        );
        compare(
          'kl',
          index,
          mean(({ kl }) => kl, theta),
          1e-8,
        );
        const gradient = gradientsOf((w) => mean(({ total }) => total, w), theta);
        compareAll('grad', index, gradient);
        const { gradients, norm } = clipByGlobalNorm(gradient, run.max_grad_norm);
        compare('grad_norm', index, norm);
        const step = adamWUpdate(theta, state, gradients, adamWScalars(lr, index + 1, adamw), adamw);
        theta = step.params as Weights;
        state = step.state;
        compareAll('theta', index, theta);
        steps++;
        ema = emaUpdate(
          ema,
          theta,
          tf.scalar(1 - emaDecay(run.global_step_at_start + steps, run.ema.decay)),
        ) as Weights;
        compareAll('ema', index, ema);
      }
      const decay = decayAt(run.global_step_at_start + steps, schedule);
      expect(Math.abs(decay - run.decay_by_epoch[epoch]!)).toBeLessThan(1e-12);
      compare('decay', epoch, tf.scalar(decay));
      old = moveCopy(old, theta, tf.scalar(1 - decay)) as Weights;
      compareAll('old', epoch, old);
    }
    for (const part of ['W', 'b', 'c'] as const) {
      for (const [name, moments] of [
        ['m', state.mean],
        ['v', state.variance],
      ] as const) {
        left.delete(`out.adam.${name}.${part}`);
        const expected = numbers(file[`out.adam.${name}.${part}`]!);
        close(moments[part]!, expected, { relative: 1e-5, absolute: 1e-9 }, `adam.${name}.${part}`);
      }
    }
    expect([...left]).toEqual([]);
  });
});
