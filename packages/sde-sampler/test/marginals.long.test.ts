import { describe, expect, it } from 'vitest';
import {
  customSchedule,
  initialNoise,
  planSteps,
  type RuleName,
  type StepRule,
  sample,
  uniformSchedule,
} from '../src/index';
import { stepRules } from '../src/rules';
import { energyTest } from './support/energy-distance';
import { generator, mixtureAt, mixtureVelocity, threeBlobs } from './support/mixture';

const count = 1000;
const velocity = mixtureVelocity(threeBlobs);
const data = mixtureAt(threeBlobs, 1, count, generator(1));

const draw = (rule: RuleName | StepRule, noiseLevel: number, schedule = uniformSchedule(200), seed = 11) =>
  sample(velocity, {
    schedule,
    rule,
    noiseLevel,
    seed,
    x: initialNoise(seed, [count, 2]),
  }).dataSync() as Float32Array;

/** The SDE with its coefficients scaled, each of which must be 1. */
const scaled = ({ x = 1, velocity = 1, std = 1 }): StepRule => ({
  name: 'scaled SDE',
  density: 'gaussian',
  gaussian: (a, input) => {
    const right = stepRules.sde.gaussian(a, {
      ...input,
      sigmaFloor: a.max(input.sigmaFloor, a.constant(0.005)),
    });
    const dt = a.sub(input.tNext, input.t);
    return {
      xCoefficient: a.mul(a.constant(x), right.xCoefficient),
      // The score's share of the velocity's coefficient; dt is the ODE's.
      velocityCoefficient: a.add(dt, a.mul(a.constant(velocity), a.sub(right.velocityCoefficient, dt))),
      std: a.mul(a.constant(std), right.std),
    };
  },
});

describe('marginals of a Gaussian mixture with its exact velocity', () => {
  const ode = draw('ode', 0, uniformSchedule(200), 7);

  it('the ODE reaches the data', () => {
    const { distance, bound } = energyTest(ode, data, generator(2));
    expect(distance).toBeLessThan(bound);
  });

  it.each([0.1, 0.3, 0.5, 0.7, 1])(
    'SDE samples at noise level %s are distributed as the data and as the ODE',
    (level) => {
      const sde = draw('sde', level);
      for (const other of [data, ode]) {
        const { distance, bound } = energyTest(sde, other, generator(3));
        expect(distance).toBeLessThan(bound);
      }
    },
  );

  it.each([0.25, 0.5, 0.75])('and on the way, at t = %s', (t) => {
    const there = mixtureAt(threeBlobs, t, count, generator(5));
    const until = customSchedule(Array.from({ length: 101 }, (_, i) => (i / 100) * t));
    const { distance, bound } = energyTest(draw('sde', 1, until), there, generator(4));
    expect(distance).toBeLessThan(bound);
  });

  it.each([
    ['cps', 0.1],
    ['dance', 0.3],
    ['dance', 1],
  ] as const)('%s at %s reaches the data', (rule, level) => {
    const { distance, bound } = energyTest(draw(rule, level), data, generator(4));
    expect(distance).toBeLessThan(bound);
  });

  describe('a wrong coefficient fails these tests', () => {
    const verdict = (rule: StepRule) => energyTest(draw(rule, 0.7), data, generator(6));

    it('and the right ones, written the same way, do not', () => {
      const { distance, bound } = verdict(scaled({}));
      expect(distance).toBeLessThan(bound);
    });

    it.each([
      ['no score term: noise is added and nothing takes it away', { x: 0, velocity: 0 }],
      ['σ²/(1 − t) where σ²/(2(1 − t)) belongs', { x: 2, velocity: 2 }],
      ['the score without its velocity', { velocity: 0 }],
      ['a quarter too much noise', { std: 1.25 }],
      ['a quarter too little noise', { std: 0.75 }],
    ])('%s', (_name, factors) => {
      const { distance, bound } = verdict(scaled(factors));
      expect(distance).toBeGreaterThan(bound);
    });
  });
});

/**
 * Of Gaussian data the velocity is linear, so each step maps a mean and a variance to another and no sample is
 * drawn: the relative error of the data's variance, exact but for rounding.
 */
describe('variance of Gaussian data', () => {
  const [mean, std] = [1.2, 0.35];
  const error = (rule: RuleName, noiseLevel: number, steps: number) => {
    let [m, variance] = [0, 1];
    for (const c of planSteps(uniformSchedule(steps), { rule, noiseLevel })) {
      const gain = (c.t * std ** 2 - (1 - c.t)) / ((1 - c.t) ** 2 + (c.t * std) ** 2);
      const factor = 1 + c.xCoefficient + c.velocityCoefficient * gain;
      m = factor * m + c.velocityCoefficient * mean * (1 - gain * c.t);
      variance = factor ** 2 * variance + c.std ** 2;
    }
    expect(m).toBeCloseTo(mean, 10);
    return variance / std ** 2 - 1;
  };

  const exact = (Object.keys(stepRules) as RuleName[]).filter((rule) => rule !== 'cps');
  it.each(exact.flatMap((rule) => [0.1, 0.3, 0.5, 0.7, 1].map((level): [RuleName, number] => [rule, level])))(
    '%s at %s: the discretisation error falls with the steps',
    (rule, level) => {
      const errors = [8, 32, 128, 512].map((steps) => Math.abs(error(rule, level, steps)));
      for (let i = 1; i < errors.length; i++) expect(errors[i]!).toBeLessThan(0.6 * errors[i - 1]!);
      expect(errors[3]!).toBeLessThan(0.01);
    },
  );

  it('cps lacks some however many steps there are, the more the higher its level', () => {
    const missing = [0.1, 0.3, 0.7].map((level) => -error('cps', level, 4096));
    expect(missing[0]!).toBeLessThan(0.015);
    expect(missing[1]!).toBeGreaterThan(0.04);
    expect(missing[1]!).toBeLessThan(0.08);
    expect(missing[2]!).toBeGreaterThan(0.25);
  });
});
