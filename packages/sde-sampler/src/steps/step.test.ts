import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sd3Convention } from '../conventions';
import { seededNoise } from '../random/noise';
import { type RuleName, stepRules } from '../rules';
import { planSteps, shiftedSchedule } from '../schedules';
import { hostCoefficients, type StepSpec } from './coefficients';
import { gatherSteps, stackSteps } from './stack';
import { applyStep, logProbOf, logProbOfStep, sdeStep, stepMean } from './step';

const draws = seededNoise(5);
const normal = (step: number, shape: number[]) =>
  draws({ step, shape, sampleIds: Array.from({ length: shape[0]! }, (_, i) => i) });
const shape = [3, 4, 2];
const [x, velocity, noise] = [0, 1, 2].map((i) => normal(i, shape)) as [tf.Tensor, tf.Tensor, tf.Tensor];
const rules = Object.keys(stepRules) as RuleName[];
const noisy = rules.filter((rule) => rule !== 'ode');
const bits = (t: tf.Tensor) => [...new Uint32Array(Float32Array.from(t.dataSync()).buffer)];

describe('noise level 0', () => {
  it.each(rules)('%s is the Euler step of the ODE, bit for bit', (rule) => {
    for (const [t, tNext] of [
      [0, 0.1],
      [0.3, 0.35],
      [0.9, 1],
    ] as const) {
      const step = sdeStep({ rule, t, tNext, noiseLevel: 0, x, velocity, noise });
      expect(bits(step.next)).toEqual(bits(tf.add(x, tf.mul(velocity, tNext - t))));
      expect(step.logProb).toBeUndefined();
    }
  });

  it.each(noisy)('%s with per-sample levels keeps the rows at 0 bit for bit', (rule) => {
    const levels = [0.7, 0, 0.3];
    const wild = tf.mul(noise, 1e30);
    for (const noiseLevel of [levels, tf.tensor1d(levels)]) {
      const { next, logProb } = sdeStep({ rule, t: 0.25, tNext: 0.5, noiseLevel, x, velocity, noise: wild });
      const euler = tf.add(x, tf.mul(velocity, 0.25));
      expect(bits(tf.gather(next, [1]))).toEqual(bits(tf.gather(euler, [1])));
      expect(logProb!.dataSync()[1]).toBe(0);
    }
  });
});

describe('per-sample times and noise levels', () => {
  const t = [0.1, 0.4, 0.8];
  const tNext = [0.2, 0.6, 0.9];
  const levels = [0.3, 0.7, 1];

  it.each(noisy)('%s gives each row what it would have alone', (rule) => {
    for (const wrap of [(v: number[]) => v, (v: number[]) => tf.tensor1d(v)]) {
      const spec = { rule, t: wrap(t), tNext: wrap(tNext), noiseLevel: wrap(levels) };
      const together = sdeStep({ ...spec, x, velocity, noise });
      for (const i of [0, 1, 2]) {
        const row = (all: tf.Tensor) => tf.gather(all, [i]);
        const alone = sdeStep({
          rule,
          t: t[i]!,
          tNext: tNext[i]!,
          noiseLevel: levels[i]!,
          x: row(x),
          velocity: row(velocity),
          noise: row(noise),
        });
        const difference = tf.max(tf.abs(tf.sub(row(together.next), alone.next))).dataSync()[0]!;
        expect(difference).toBeLessThan(1e-6);
        expect(together.logProb!.dataSync()[i]!).toBeCloseTo(alone.logProb!.dataSync()[0]!, 5);
      }
    }
  });

  it.each(rules)('%s where no sample draws noise is known to be the Euler step', (rule) => {
    for (const wrap of [(v: number[]) => v, (v: number[]) => tf.tensor1d(v)]) {
      const step = { rule, t: wrap(t), tNext: wrap(tNext), noiseLevel: 0, x, velocity };
      const { next, std, logProb } = sdeStep(step);
      expect([std, logProb]).toEqual([0, undefined]);
      [0, 1, 2].forEach((i) => {
        const row = (all: tf.Tensor) => tf.gather(all, [i]);
        const euler = tf.add(row(x), tf.mul(row(velocity), tNext[i]! - t[i]!));
        expect(tf.max(tf.abs(tf.sub(row(next), euler))).dataSync()[0]!).toBeLessThan(1e-6);
      });
      expect(() => logProbOf(next, step)).toThrow(/no log-probability/);
    }
  });

  it('differing batch sizes are refused', () => {
    const step = { x, velocity, noise, t: [0.1, 0.2], tNext: 0.5 };
    expect(() => sdeStep({ ...step, noiseLevel: [0.1, 0.2, 0.3] })).toThrow(/different numbers/);
    expect(() => sdeStep({ ...step, noiseLevel: 0.5 })).toThrow(/do not fit/);
  });
});

describe('the published formulas, in the clock of their papers (sigma 1 → 0, output noise − data)', () => {
  const [sigma, sigmaNext, level] = [0.7, 0.55, 0.8];
  const output = tf.neg(velocity);
  const take = (rule: RuleName) =>
    sdeStep({
      rule,
      t: sigma,
      tNext: sigmaNext,
      noiseLevel: level,
      convention: sd3Convention,
      x,
      velocity: output,
      noise,
    });
  const expectSame = (actual: tf.Tensor, expected: tf.Tensor) =>
    expect(tf.max(tf.abs(tf.sub(actual, expected))).dataSync()[0]!).toBeLessThan(2e-6);

  it("Flow-CPS rebuilds x from the model's data and noise", () => {
    const data = tf.sub(x, tf.mul(output, sigma));
    const modelNoise = tf.add(x, tf.mul(output, 1 - sigma));
    const std = sigmaNext * Math.sin((level * Math.PI) / 2);
    const mean = tf.add(
      tf.mul(data, 1 - sigmaNext),
      tf.mul(modelNoise, Math.sqrt(sigmaNext ** 2 - std ** 2)),
    );
    const step = take('cps');
    expectSame(step.mean, mean);
    expectSame(step.next, tf.add(mean, tf.mul(noise, std)));
    expectSame(step.logProb!, tf.neg(tf.mean(tf.square(tf.mul(noise, std)), [1, 2])));
  });

  it('DanceGRPO adds half of the squared noise level times the score', () => {
    const data = tf.sub(x, tf.mul(output, sigma));
    const score = tf.div(tf.sub(tf.mul(data, 1 - sigma), x), sigma ** 2);
    const dsigma = sigmaNext - sigma;
    const mean = tf.add(tf.add(x, tf.mul(output, dsigma)), tf.mul(score, -0.5 * level ** 2 * dsigma));
    const step = take('dance');
    expectSame(step.mean, mean);
    expectSame(step.next, tf.add(mean, tf.mul(noise, level * Math.sqrt(-dsigma))));
  });
});

describe('log-probability', () => {
  it.each(noisy)('%s: exp of it integrates to 1', (rule) => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.05, max: 0.9, noNaN: true }),
        fc.double({ min: 0.02, max: 0.99, noNaN: true }),
        fc.double({ min: 0.1, max: 1, noNaN: true }),
        (t, share, noiseLevel) => {
          const tNext = t + (1 - t) * share;
          const spec: StepSpec = { rule, t, tNext, noiseLevel, density: 'gaussian' };
          const c = hostCoefficients(spec, t, tNext, noiseLevel);
          const mean = 0.4 + c.xCoefficient * 0.4 - c.velocityCoefficient * 0.8;
          const points = 401;
          const width = (16 * c.std) / (points - 1);
          const grid = Array.from({ length: points }, (_, i) => mean + (i - (points - 1) / 2) * width);
          const next = tf.tensor2d(grid, [points, 1]);
          const density = tf.exp(
            logProbOf(next, { ...spec, x: tf.fill([points, 1], 0.4), velocity: tf.fill([points, 1], -0.8) }),
          );
          expect(tf.sum(density).dataSync()[0]! * width).toBeCloseTo(1, 3);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('of CPS is −(next − mean)², as published', () => {
    const spec = { rule: 'cps' as const, t: 0.3, tNext: 0.4, noiseLevel: 0.8, x, velocity };
    const next = normal(9, shape);
    const { mean } = sdeStep({ ...spec, noise });
    const expected = tf.neg(tf.mean(tf.square(tf.sub(next, mean)), [1, 2])).dataSync();
    [...logProbOf(next, spec).dataSync()].forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 5);
    });
  });

  it.each(noisy)('%s: the update recomputes the rollout exactly, for a ratio of exactly 1', (rule) => {
    const spec = { rule, t: 0.3, tNext: 0.4, noiseLevel: 0.7, x, velocity };
    const { next, logProb } = sdeStep({ ...spec, noise });
    expect(bits(logProbOf(next, spec))).toEqual(bits(logProb!));
  });

  it('keeps its digits where the step is tiny beside x', () => {
    const far = tf.add(x, 100);
    const spec = { t: 0.99, tNext: 0.991, noiseLevel: 0.1, velocity };
    const { next, std } = sdeStep({ ...spec, x: far, noise });
    const c = hostCoefficients({}, 0.99, 0.991, 0.1);
    const [xs, vs, ns] = [far, velocity, next].map((each) => each.dataSync()) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const exact = [0, 1, 2].map((row) => {
      let sum = 0;
      for (let i = row * 8; i < row * 8 + 8; i++) {
        const residual =
          (ns[i]! - xs[i]! - c.xCoefficient * xs[i]! - c.velocityCoefficient * vs[i]!) / (std as number);
        sum += -0.5 * residual ** 2 - Math.log(std as number) - 0.5 * Math.log(2 * Math.PI);
      }
      return sum / 8;
    });
    [...logProbOf(next, { ...spec, x: far }).dataSync()].forEach((value, i) => {
      expect(Math.abs(value - exact[i]!)).toBeLessThan(2e-5);
    });
  });

  it.each(noisy)('%s: its gradient in v is that of finite differences', (rule) => {
    const spec = { rule, t: 0.3, tNext: 0.4, noiseLevel: 0.7, x };
    const { next } = sdeStep({ ...spec, velocity, noise });
    const objective = (v: tf.Tensor) => tf.sum(logProbOf(next, { ...spec, velocity: v })) as tf.Scalar;
    const away = tf.add(velocity, 0.05);
    const gradient = tf.grad(objective)(away).dataSync();
    const base = Float32Array.from(away.dataSync());
    for (const i of [0, 5, 17]) {
      const at = (h: number) => {
        const moved = base.slice();
        moved[i]! += h;
        return objective(tf.tensor(moved, shape)).dataSync()[0]!;
      };
      const difference = (at(0.05) - at(-0.05)) / 0.1;
      expect(Math.abs(gradient[i]! - difference)).toBeLessThan(2e-3 * (1 + Math.abs(difference)));
    }
  });

  it('no gradient flows through the next sample', () => {
    const spec = { t: 0.3, tNext: 0.4, noiseLevel: 0.7, x };
    const gradient = tf.grad((v) => tf.sum(sdeStep({ ...spec, velocity: v, noise }).logProb!))(velocity);
    const given = sdeStep({ ...spec, velocity, noise }).next;
    const direct = tf.grad((v) => tf.sum(logProbOf(given, { ...spec, velocity: v })))(velocity);
    expect(bits(gradient)).toEqual(bits(direct));
    expect(tf.max(tf.abs(gradient)).dataSync()[0]!).toBeGreaterThan(0);
  });
});

describe('stacked steps', () => {
  it('give the same steps as host coefficients', () => {
    const rows = planSteps(shiftedSchedule(6, 3, sd3Convention), { noiseLevel: 0.7 });
    const stacked = stackSteps(rows);
    rows.forEach((row, i) => {
      const scanned = gatherSteps(stacked, i);
      const host = applyStep(row, { x, velocity, noise });
      const device = applyStep(scanned, { x, velocity, noise });
      expect(tf.max(tf.abs(tf.sub(host.next, device.next))).dataSync()[0]!).toBeLessThan(1e-6);
      if (row.std > 0) {
        expect(device.logProb!.shape).toEqual([3]);
        expect(device.logProb!.dataSync()[2]).toBeCloseTo(host.logProb!.dataSync()[2]!, 5);
      } else {
        expect([...device.logProb!.dataSync()]).toEqual([0, 0, 0]);
        expect(bits(device.next)).toEqual(bits(stepMean(row, { x, velocity })));
      }
    });
  });
});

describe('what does not exist', () => {
  const step = { x, velocity, noise, t: 0.2, tNext: 0.4, noiseLevel: 0.7 };
  it.each([
    [{ t: 0 }, /infinite at pure noise/],
    [{ t: 0.5, tNext: 0.4 }, /no step from 0.5 to 0.4/],
    [{ t: 0.5, tNext: 0.5 }, /no step/],
    [{ t: 1, tNext: 1.1 }, /no step/],
    [{ noiseLevel: -0.1 }, /noise level must be 0 or more/],
    [{ noiseLevel: Number.NaN }, /noise level must be 0 or more/],
    [{ rule: 'cps' as const, noiseLevel: 1.2 }, /between 0 and 1/],
    [{ rule: 'euler' as RuleName }, /no step rule "euler"/],
    [{ noise: tf.zeros([3, 4]) }, /noise has shape/],
    [{ velocity: tf.zeros([3, 4]) }, /velocity has shape/],
    [{ noise: undefined }, /needs `noise`/],
    [{ t: 1, tNext: 0.9, convention: sd3Convention }, /infinite at pure noise/],
  ])('%o is refused', (change, message) => {
    expect(() => sdeStep({ ...step, ...change })).toThrow(message);
  });

  it('a log-probability of a step without noise', () => {
    expect(() => logProbOf(x, { ...step, noiseLevel: 0 })).toThrow(/no log-probability/);
    const last = hostCoefficients({ rule: 'cps' }, 0.9, 1, 0.5);
    expect(last.std).toBe(0);
    expect(() => logProbOfStep(last, { x, velocity, next: x })).toThrow(/no log-probability/);
  });

  it('steps leave no tensors behind', () => {
    const before = tf.memory().numTensors;
    const { mean, next, logProb } = sdeStep({ ...step, t: [0.1, 0.2, 0.3] });
    tf.dispose([mean, next, logProb!]);
    expect(tf.memory().numTensors - before).toBeLessThanOrEqual(1); // std, [B]
  });
});
