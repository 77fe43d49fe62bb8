import { describe, expect, it, vi } from 'vitest';
import { initialNoise, type RuleName, type StepRule, sample, uniformSchedule } from '../src/index';
import { energyTest } from './support/energy-distance';
import { generator, mixtureData, mixtureVelocity, threeBlobs } from './support/mixture';

vi.setConfig({ testTimeout: 180_000 });

const count = 1000;
const velocity = mixtureVelocity(threeBlobs);
const data = mixtureData(threeBlobs, count, generator(1));

const draw = (rule: RuleName | StepRule, noiseLevel: number, steps: number, seed: number, samples = count) =>
  sample(velocity, {
    schedule: uniformSchedule(steps),
    rule,
    noiseLevel,
    seed,
    x: initialNoise(seed, [samples, 2]),
  }).dataSync() as Float32Array;

/** The SDE with one factor wrong: the score term is left out, so noise is added and nothing takes it away. */
const withoutScore: StepRule = (a, { t, tNext, noiseLevel }) => {
  const dt = a.sub(tNext, t);
  const floored = a.max(t, a.constant(0.01));
  const sigma = a.mul(noiseLevel, a.sqrt(a.div(a.sub(a.constant(1), t), floored)));
  return { xDrift: a.constant(0), velocityDrift: dt, std: a.mul(sigma, a.sqrt(dt)) };
};

/** The SDE with σ²/(1 − t) where σ²/(2(1 − t)) belongs. */
const withoutHalf: StepRule = (a, { t, tNext, noiseLevel }) => {
  const dt = a.sub(tNext, t);
  const floored = a.max(t, a.constant(0.01));
  const sigma = a.mul(noiseLevel, a.sqrt(a.div(a.sub(a.constant(1), t), floored)));
  const push = a.mul(dt, a.div(a.mul(noiseLevel, noiseLevel), floored));
  return {
    xDrift: a.sub(a.constant(0), push),
    velocityDrift: a.add(dt, a.mul(push, t)),
    std: a.mul(sigma, a.sqrt(dt)),
  };
};

describe('marginals of a Gaussian mixture with its exact velocity', () => {
  const ode = draw('ode', 0, 200, 7);

  it('the ODE reaches the data', () => {
    const { distance, bound } = energyTest(ode, data, generator(2));
    expect(distance).toBeLessThan(bound);
  });

  it.each([0.1, 0.3, 0.5, 0.7, 1])(
    'SDE samples at noise level %s are distributed as the data and as the ODE',
    (level) => {
      const sde = draw('sde', level, 200, 11);
      for (const other of [data, ode]) {
        const { distance, bound } = energyTest(sde, other, generator(3));
        expect(distance).toBeLessThan(bound);
      }
    },
  );

  it.each([
    ['cps', 0.3],
    ['dance', 0.3],
  ] as const)('%s at %s reaches the data', (rule, level) => {
    const { distance, bound } = energyTest(draw(rule, level, 200, 13), data, generator(4));
    expect(distance).toBeLessThan(bound);
  });

  it.each([0.1, 0.3, 0.5, 0.7, 1])(
    'the discretisation error at noise level %s falls with the steps',
    (level) => {
      // By the second moment, which is exact in closed form and less noisy than a distance of samples.
      const { means, std } = threeBlobs;
      const exact = 2 * std ** 2 + means.reduce((sum, [x, y]) => sum + x * x + y * y, 0) / means.length;
      const errors = [4, 12, 60].map((steps) => {
        const points = draw('sde', level, steps, 5, 8000);
        return Math.abs(points.reduce((sum, v) => sum + v * v, 0) / 8000 / exact - 1);
      });
      expect(errors[1]!).toBeLessThan(0.7 * errors[0]!);
      expect(errors[2]!).toBeLessThan(0.5 * errors[1]!);
    },
  );

  it.each([
    ['no score term', withoutScore],
    ['a factor of two in the score term', withoutHalf],
  ] as const)('the test notices %s', (_name, rule) => {
    const { distance, bound } = energyTest(draw(rule, 0.7, 200, 11), data, generator(6));
    expect(distance).toBeGreaterThan(bound);
  });
});
