import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { sd3Convention } from '../conventions';
import { withGuidance } from '../guidance';
import { initialNoise } from '../random/initial';
import { keyedNoise, seededNoise } from '../random/noise';
import { shiftedSchedule, uniformSchedule } from '../schedules';
import { solveAdaptive } from '../solvers/adaptive';
import { logProbOfStep, sdeStep } from '../steps/step';
import { sample, sampleTrajectory } from './sample';
import { sampleAsync, sampleTrajectoryAsync } from './sample-async';
import type { AsyncVelocity, StepVelocity, Velocity } from './velocity';

const velocity: Velocity = (x, t) =>
  tf.sub(tf.mul(tf.tanh(x), 0.7), tf.mul(x, tf.reshape(t, [-1, ...new Array(x.rank - 1).fill(1)])));
const values = (x: tf.Tensor) => [...x.dataSync()];
const shape = [6, 2, 3];
const schedule = shiftedSchedule(8, 3);

describe('randomness', () => {
  it('the same seed gives the same trajectory whatever the batch split', () => {
    const run = (from: number, size: number) =>
      sampleTrajectory(velocity, { schedule, shape: [size, 2, 3], seed: 42, firstSample: from });
    const whole = run(0, 6);
    const parts = [run(0, 2), run(2, 1), run(3, 3)];
    expect(values(tf.concat(parts.map((part) => part.final)))).toEqual(values(whole.final));
    whole.logProbs.forEach((logProb, k) => {
      expect(values(tf.concat(parts.map((part) => part.logProbs[k]!)))).toEqual(values(logProb!));
    });
    const scattered = sample(velocity, { schedule, shape: [2, 2, 3], seed: 42, sampleIds: [4, 1] });
    expect(values(scattered)).toEqual([
      ...values(tf.gather(whole.final, [4])),
      ...values(tf.gather(whole.final, [1])),
    ]);
    expect(values(sample(velocity, { schedule, shape, seed: 43 }))).not.toEqual(values(whole.final));
  });

  it('the numbers are standard normal, without correlation between samples, steps or places', () => {
    const noise = seededNoise(3);
    const ids = Array.from({ length: 400 }, (_, i) => i);
    const draw = (step: number) => values(noise({ step, shape: [400, 50], sampleIds: ids }));
    const [a, b] = [draw(0), draw(1)];
    const mean = (v: number[]) => v.reduce((s, e) => s + e, 0) / v.length;
    const moment = (p: number) => mean(a.map((e) => e ** p));
    expect(Math.abs(moment(1))).toBeLessThan(0.03);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.05);
    expect(Math.abs(moment(3))).toBeLessThan(0.1);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.25);
    expect(Math.abs(mean(a.map((e, i) => e * b[i]!)))).toBeLessThan(0.03);
    for (const lag of [1, 50]) {
      expect(Math.abs(mean(a.slice(lag).map((e, i) => e * a[i]!)))).toBeLessThan(0.03);
    }
  });

  it('groups share their initial latent, not their steps', () => {
    const x = initialNoise(9, shape, { groupSize: 3 });
    const rows = tf.unstack(x).map(values);
    expect(rows[0]).toEqual(rows[2]);
    expect(rows[3]).toEqual(rows[5]);
    expect(rows[0]).not.toEqual(rows[3]);
    const out = tf.unstack(sample(velocity, { schedule, shape, seed: 9, groupSize: 3 })).map(values);
    expect(out[0]).not.toEqual(out[1]);
  });

  it('noise may be given as a tensor, a list, a function or by keys', () => {
    const x = initialNoise(1, shape);
    const ids = [0, 1, 2, 3, 4, 5];
    const noise = Array.from({ length: 8 }, (_, step) => seededNoise(1)({ step, shape, sampleIds: ids }));
    const bySeed = values(sample(velocity, { schedule, x, seed: 1 }));
    expect(values(sample(velocity, { schedule, x, noise }))).toEqual(bySeed);
    expect(values(sample(velocity, { schedule, x, noise: tf.stack(noise) }))).toEqual(bySeed);
    expect(values(sample(velocity, { schedule, x, noise: ({ step }) => tf.clone(noise[step]!) }))).toEqual(
      bySeed,
    );
    const toy = {
      foldIn: (key: number, data: number) => key * 31 + data,
      normal: (key: number, size: readonly number[]) => tf.fill([...size], Math.sin(key)),
    };
    const keyed = (size: number, from: number) =>
      values(
        sample(velocity, { schedule, shape: [size, 2, 3], firstSample: from, noise: keyedNoise(toy, 5) }),
      );
    expect([...keyed(4, 0), ...keyed(2, 4)]).toEqual(keyed(6, 0));
    expect(() => sample(velocity, { schedule, x, noise: noise.slice(1) })).toThrow(
      /7 steps where the schedule has 8/,
    );
  });
});

describe('sampleTrajectory', () => {
  it('records the trainable steps, and their log-probabilities can be recomputed', () => {
    const run = sampleTrajectory(velocity, { schedule, shape, seed: 2 });
    expect(run.steps).toEqual([1, 2, 3, 4, 5, 6]);
    expect(run.timesteps).toEqual(schedule.times.slice(1, 7));
    run.steps.forEach((step, k) => {
      const x = run.latents[k]!;
      const v = velocity(x, tf.fill([6], schedule.times[step]!) as tf.Tensor1D);
      const again = logProbOfStep(run.coefficients[k]!, { x, velocity: v, next: run.nextLatents[k]! });
      expect(values(again)).toEqual(values(run.logProbs[k]!));
      if (k > 0) expect(values(run.nextLatents[k - 1]!)).toEqual(values(x));
    });
  });

  it('records chosen steps; those without noise have no log-probability', () => {
    const run = sampleTrajectory(velocity, { schedule, shape, seed: 2, steps: [7, 3] });
    expect(run.steps).toEqual([3, 7]);
    expect(run.logProbs[0]!.shape).toEqual([6]);
    expect(run.logProbs[1]).toBeUndefined();
    expect(values(run.nextLatents[1]!)).toEqual(values(run.final));
    expect(() => sampleTrajectory(velocity, { schedule, shape, seed: 2, steps: [8] })).toThrow(/no step 8/);
  });

  it('is the same in both conventions', () => {
    const x = initialNoise(3, shape);
    const mirrored: Velocity = (at, t) => tf.neg(velocity(at, tf.sub(1, t) as tf.Tensor1D));
    const one = values(sample(velocity, { schedule, x, seed: 3 }));
    const other = values(sample(mirrored, { schedule: shiftedSchedule(8, 3, sd3Convention), x, seed: 3 }));
    other.forEach((value, i) => {
      expect(value).toBeCloseTo(one[i]!, 4);
    });
  });

  it('can be differentiated through', () => {
    const x = initialNoise(3, shape);
    const run = (w: tf.Tensor) =>
      tf.sum(sample((at) => tf.mul(at, w), { schedule: uniformSchedule(3), x, rule: 'ode' })) as tf.Scalar;
    const slope = tf.grad(run)(tf.scalar(0.3)).dataSync()[0]!;
    // Each step multiplies by 1 + w/3.
    expect(slope).toBeCloseTo(values(x).reduce((s, e) => s + e, 0) * (1 + 0.1) ** 2, 3);
  });
});

describe('the loop', () => {
  it('tells each step to its callback', () => {
    const seen: [number, number, number][] = [];
    sample(velocity, {
      schedule,
      shape,
      seed: 1,
      onStep: ({ step, steps, time, x, preview }) => {
        seen.push([step, steps, time]);
        expect(x.shape).toEqual(shape);
        expect(preview().shape).toEqual(shape);
      },
    });
    expect(seen).toEqual(Array.from({ length: 8 }, (_, i) => [i, 8, schedule.times[i + 1]]));
  });

  it('previews are the data the model sees', () => {
    const x = initialNoise(1, [4, 2]);
    const target = tf.tensor2d([[3, -1]]);
    const straight: StepVelocity = (at, _t, { progress }) => tf.div(tf.sub(target, at), 1 - progress);
    sample(straight, {
      schedule: uniformSchedule(5),
      x,
      rule: 'ode',
      onStep: ({ preview }) => {
        values(preview()).forEach((value, i) => {
          expect(value).toBeCloseTo([3, -1][i % 2]!, 5);
        });
      },
    });
  });

  it('gives what tf.tidy and tf.dispose take', async () => {
    const x = initialNoise(1, shape);
    const before = tf.memory().numTensors;
    tf.dispose(tf.tidy(() => sampleTrajectory(velocity, { schedule, x, seed: 1 })));
    tf.dispose(await sampleTrajectoryAsync(velocity, { schedule, x, seed: 1, steps: [0, 3] }));
    const step = { t: 0.2, tNext: 0.4, noiseLevel: 0.7, x, noise: x };
    tf.dispose(tf.tidy(() => sdeStep({ ...step, velocity: x })));
    tf.dispose(await solveAdaptive((at, t) => tf.tidy(() => velocity(at, t)), { x }));
    expect(tf.memory().numTensors).toBe(before);
  });

  it('leaves only its result behind', async () => {
    const x = initialNoise(1, shape);
    const before = tf.memory().numTensors;
    const one = sample(velocity, { schedule, x, seed: 1 });
    expect(tf.memory().numTensors).toBe(before + 1);
    const run = sampleTrajectory(velocity, { schedule, x, seed: 1 });
    // K latents and one more, K means, K log-probabilities, the final latents.
    expect(tf.memory().numTensors).toBeLessThanOrEqual(before + 1 + 4 * run.steps.length + 1);
    const two = await sampleAsync(async (at, t) => tf.tidy(() => velocity(at, t)), {
      schedule,
      x,
      seed: 1,
    });
    tf.dispose([
      run.final,
      ...run.latents,
      ...run.nextLatents,
      ...run.means,
      ...run.logProbs.map((each) => each!),
    ]);
    expect(tf.memory().numTensors).toBe(before + 2);
    tf.dispose([one, two]);
  });

  it('holds one tensor a step of what it is not asked to record', () => {
    const counts: number[] = [];
    const onStep = () => void counts.push(tf.memory().numTensors);
    sample(velocity, { schedule, shape, seed: 1, onStep });
    const growth = counts.slice(1).map((count, i) => count - counts[i]!);
    // The first and the last step are Euler's and make fewer.
    for (const more of growth.slice(1, -1)) expect(more).toBe(1);
  });

  it('leaves nothing behind of a model that fails, nor of one that answers at once with many tensors', async () => {
    const x = initialNoise(1, shape);
    const before = tf.memory().numTensors;
    const out = await sampleAsync(velocity, { schedule, x, seed: 1 });
    expect(tf.memory().numTensors).toBe(before + 1);
    out.dispose();
    const guided = withGuidance(
      async (at) => tf.mul(at, 0.2),
      async (at) => tf.mul(at, 0.1),
      3,
    );
    (await sampleAsync(guided, { schedule, x, seed: 1 })).dispose();
    expect(tf.memory().numTensors).toBe(before);
    const failing: AsyncVelocity = async (at, _t, { step }) => {
      if (step === 3) throw new Error('offline');
      return tf.neg(at);
    };
    await expect(sampleTrajectoryAsync(failing, { schedule, x, seed: 1 })).rejects.toThrow('offline');
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses what it cannot run', () => {
    expect(() => sample(velocity, { schedule, shape })).toThrow(/draws noise|seed/);
    expect(() => sample(velocity, { schedule, seed: 1 })).toThrow(/initial latents/);
    expect(() => sample(velocity, { schedule, shape, seed: -1 })).toThrow(/seed must be/);
    expect(() => sample(velocity, { schedule, shape, seed: 1, sampleIds: [1] })).toThrow(/1 sample ids/);
    expect(() => sample(velocity, { schedule, shape, seed: 1, groupSize: 0 })).toThrow(/groupSize/);
    expect(() => sample(() => tf.zeros([1]), { schedule, shape, seed: 1 })).toThrow(
      /velocity has shape \[1\]/,
    );
    const late = (async () => tf.zeros(shape)) as unknown as Velocity;
    expect(() => sample(late, { schedule, shape, seed: 1 })).toThrow(/sampleAsync/);
    expect(() => sample(velocity, { schedule, shape, seed: 1, solver: 'rk4' as 'heun' })).toThrow(
      /no solver "rk4"/,
    );
  });
});

describe('models that answer later', () => {
  const remote: AsyncVelocity = async (x, t) => {
    const [xs, ts] = [await x.data(), await t.data()];
    await new Promise((resolve) => setTimeout(resolve, 1));
    return Float32Array.from(xs, (v, i) =>
      Math.fround(Math.fround(0.7 * Math.tanh(v)) - v * ts[Math.floor(i / 6)]!),
    );
  };

  it('give what a tfjs model gives', async () => {
    const options = { schedule, shape, seed: 8 };
    const expected = sampleTrajectory(velocity, options);
    const actual = await sampleTrajectoryAsync(remote, options);
    values(actual.final).forEach((value, i) => {
      expect(value).toBeCloseTo(values(expected.final)[i]!, 4);
    });
    expect(actual.steps).toEqual(expected.steps);
    expect(actual.logProbs[2]!.dataSync()[1]).toBeCloseTo(expected.logProbs[2]!.dataSync()[1]!, 4);
  });

  it.each(['euler', 'heun', 'midpoint'] as const)(
    'run the %s solver, and callbacks are awaited',
    async (solver) => {
      const steps: number[] = [];
      const options = { schedule, shape, seed: 8, noiseLevel: 0, solver };
      const out = await sampleAsync(remote, {
        ...options,
        onStep: async ({ step }) => {
          await Promise.resolve();
          steps.push(step);
        },
      });
      values(out).forEach((value, i) => {
        expect(value).toBeCloseTo(values(sample(velocity, options))[i]!, 4);
      });
      expect(steps).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    },
  );

  it('pass their errors on', async () => {
    await expect(
      sampleAsync(() => Promise.reject(new Error('offline')), { schedule, shape, seed: 1 }),
    ).rejects.toThrow('offline');
    await expect(sampleAsync(async () => new Float32Array(3), { schedule, shape, seed: 1 })).rejects.toThrow(
      /3 values, x has 36/,
    );
  });
});
