import { expectClose, fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import { type Jitted, jit, random, scan } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  applyStep,
  coefficientsFromRow,
  coefficientTable,
  initialNoise,
  keyedNoise,
  logProbOf,
  logProbOfStep,
  type RuleName,
  sampleTrajectory,
  sdeStep,
  seededNoise,
  shiftedSchedule,
  solveAdaptive,
  stepCoefficients,
  type Velocity,
  withGuidance,
} from '../src/index';
import { onEveryBackend } from './support/backends';

const shape = [3, 4, 2];
const ids = [0, 1, 2];
const draw = (step: number) => seededNoise(6)({ step, shape, sampleIds: ids });
const rules: RuleName[] = ['sde', 'cps', 'dance'];
const schedule = shiftedSchedule(12, 3);
const velocity: Velocity = (x, t) =>
  tf.sub(tf.mul(tf.tanh(x), 0.7), tf.mul(x, tf.reshape(t, [-1, ...new Array(x.rank - 1).fill(1)])));
const bits = (t: tf.Tensor) => [...new Uint32Array(Float32Array.from(t.dataSync()).buffer)];

onEveryBackend('the sampler', (backend) => {
  it('steps as the fixtures do', () => {
    for (const { dir } of fixtureCases('sde-step')) {
      const values = readTensors(dir, 'steps.safetensors');
      const cases = readJson<{ key: string; t: number; t_next: number; alpha: number }[]>(dir, 'steps.json');
      for (const { key, t, t_next, alpha } of cases) {
        const get = (part: string) => {
          const stored = values[`${key}.${part}`]!;
          return tf.tensor(numbers(stored), stored.shape, 'float32');
        };
        const spec = { x: get('x'), velocity: get('v'), t, tNext: t_next, noiseLevel: alpha };
        const { next, logProb } = sdeStep({ ...spec, noise: get('noise') });
        expectClose(next.dataSync(), numbers(values[`${key}.x_next`]!), 2e-6, `${key}.x_next`);
        const expected = values[`${key}.log_prob`];
        if (expected) expectClose(logProb!.dataSync(), numbers(expected), 5e-6, `${key}.log_prob`);
      }
    }
  });

  it.each(rules)('%s at noise level 0 is the Euler step, bit for bit', (rule) => {
    const [x, v] = [draw(0), draw(1)];
    const { next } = sdeStep({ rule, t: 0.3, tNext: 0.35, noiseLevel: 0, x, velocity: v });
    expect(bits(next)).toEqual(bits(tf.add(x, tf.mul(v, 0.35 - 0.3))));
  });

  it.each(rules)('%s is differentiable in v, with per-sample times as tensors', (rule) => {
    const [x, v, noise] = [draw(0), draw(1), draw(2)];
    const spec = {
      rule,
      t: tf.tensor1d([0.1, 0.4, 0.7]),
      tNext: tf.tensor1d([0.2, 0.6, 0.8]),
      noiseLevel: 0.7,
      x,
    };
    const { next } = sdeStep({ ...spec, velocity: v, noise });
    const objective = (at: tf.Tensor) => tf.sum(logProbOf(next, { ...spec, velocity: at }));
    const away = tf.add(v, 0.05);
    const slope = tf.grad(objective)(away).dataSync();
    const nudge = tf.tensor(
      Array.from({ length: 24 }, (_, i) => (i === 9 ? 0.05 : 0)),
      shape,
    );
    const [up, down] = [tf.add(away, nudge), tf.sub(away, nudge)].map((at) => objective(at).dataSync()[0]!);
    expect(slope[9]).toBeCloseTo((up! - down!) / 0.1, 2);
  });

  it('runs whole trajectories, as on every other backend', async () => {
    const x = initialNoise(6, shape);
    const run = sampleTrajectory(
      withGuidance(velocity, (at) => tf.mul(at, 0.1), 3),
      { schedule, x, seed: 6 },
    );
    const here = [run.final, ...run.logProbs.map((each) => each!)].map((each) => [...each.dataSync()]);
    await tf.setBackend('cpu');
    const there = sampleTrajectory(
      withGuidance(velocity, (at) => tf.mul(at, 0.1), 3),
      {
        schedule,
        x: initialNoise(6, shape),
        seed: 6,
      },
    );
    const expected = [there.final, ...there.logProbs.map((each) => each!)].map((each) => [
      ...each.dataSync(),
    ]);
    await tf.setBackend(backend);
    for (const [i, values] of here.entries()) expectClose(values, expected[i]!, 2e-5, `part ${i}`);
  });

  it('runs as one jitted function with nothing read back, noise by keys or as an argument', () => {
    const rollout = (x: tf.Tensor, key: tf.Tensor) => {
      const { final, logProbs } = sampleTrajectory(velocity, { schedule, x, noise: keyedNoise(random, key) });
      return { final, logProbs: tf.stack(logProbs.map((each) => each!)) };
    };
    const x = initialNoise(6, shape);
    const jitted: Jitted<[tf.Tensor, tf.Tensor], ReturnType<typeof rollout>> = jit(rollout);
    const one = jitted(x, random.key(1));
    const same = rollout(x, random.key(1));
    expectClose(one.final.dataSync(), same.final.dataSync(), 2e-5, 'final');
    expectClose(one.logProbs.dataSync(), same.logProbs.dataSync(), 2e-5, 'logProbs');
    expect([...jitted(x, random.key(2)).final.dataSync()]).not.toEqual([...one.final.dataSync()]);

    const noise = tf.stack(Array.from({ length: 12 }, (_, step) => draw(step)));
    const given = (latents: tf.Tensor, all: tf.Tensor) =>
      sampleTrajectory(velocity, { schedule, x: latents, noise: all }).final;
    expectClose(jit(given)(x, noise).dataSync(), given(x, noise).dataSync(), 2e-5, 'given noise');
  });

  it('runs under a scan over rows of coefficients', () => {
    const rows = stepCoefficients(schedule);
    const x = initialNoise(6, shape);
    const noise = tf.stack(Array.from({ length: 12 }, (_, step) => draw(step)));
    const rollout = (start: tf.Tensor, table: tf.Tensor, draws: tf.Tensor) =>
      scan(
        (at: tf.Tensor, [row, w]: [tf.Tensor, tf.Tensor]) => {
          const c = coefficientsFromRow(row);
          const v = velocity(at, tf.fill([3], 1) as tf.Tensor1D, { step: 0, time: 0, progress: 0 });
          const { next, logProb } = applyStep(c, { x: at, velocity: v, noise: w });
          return [next, logProb as tf.Tensor] as [tf.Tensor, tf.Tensor];
        },
        start,
        [table, draws] as [tf.Tensor, tf.Tensor],
      );
    const [final, logProbs] = jit(rollout)(x, coefficientTable(rows), noise);
    let at: tf.Tensor = x;
    const expected = rows.map((c, i) => {
      const v = velocity(at, tf.fill([3], 1) as tf.Tensor1D, { step: 0, time: 0, progress: 0 });
      const step = applyStep(c, { x: at, velocity: v, noise: tf.gather(noise, i) });
      at = step.next;
      return step.logProb ? [...step.logProb.dataSync()] : [0, 0, 0];
    });
    expectClose(final.dataSync(), at.dataSync(), 2e-5, 'final');
    expectClose(logProbs.dataSync(), expected.flat(), 2e-5, 'logProbs');
  });

  it('the first ratio is 1 when rollout and update are separate compiled functions', () => {
    const c = stepCoefficients(schedule)[5]!;
    const [x, noise] = [draw(0), draw(2)];
    const t = tf.fill([3], 0.3) as tf.Tensor1D;
    const info = { step: 5, time: 0.3, progress: 0.3 };
    const rollout = jit((at: tf.Tensor, w: tf.Tensor) => {
      const { next, logProb } = applyStep(c, { x: at, velocity: velocity(at, t, info), noise: w });
      return { next, logProb: logProb as tf.Tensor };
    });
    const { next, logProb } = rollout(x, noise);
    const update = jit((at: tf.Tensor, to: tf.Tensor) =>
      logProbOfStep(c, { x: at, velocity: velocity(at, t, info), next: to }),
    );
    const again = update(x, next).dataSync();
    // XLA may contract products and sums differently in the two programs; the ratio still holds to 1e-5.
    [...logProb.dataSync()].forEach((value, i) => {
      expect(Math.abs(Math.exp(again[i]! - value) - 1)).toBeLessThan(backend === 'xla' ? 1e-5 : 1e-12);
    });
  });

  it('solves adaptively', async () => {
    const x = draw(0);
    const { x: out } = await solveAdaptive(velocity, { x, rtol: 1e-4, atol: 1e-4 });
    const fine = sampleTrajectory(velocity, {
      schedule: shiftedSchedule(40, 1),
      x,
      rule: 'ode',
      solver: 'heun',
      steps: [],
    });
    expectClose(out.dataSync(), fine.final.dataSync(), 2e-3, 'x');
  });
});
