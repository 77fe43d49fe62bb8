import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { type Convention, sd3Convention, showo2Convention } from './conventions';
import { withGuidance } from './guidance';
import { sample } from './loops/sample';
import type { StepVelocity, Velocity } from './loops/velocity';
import { uniformSchedule } from './schedules';

const x = tf.tensor2d([[1, 2]]);
const t = tf.tensor1d([0.5]);
const info = { step: 3, time: 0.5, progress: 0.5 };
const conditional: Velocity = (at) => tf.mul(at, 3);
const unconditional: Velocity = (at) => tf.mul(at, 2);
const never: Velocity = () => {
  throw new Error('not needed');
};
const values = (v: tf.Tensor) => [...v.dataSync()];

describe('withGuidance', () => {
  it('is u + scale·(c − u)', () => {
    expect(values(withGuidance(conditional, unconditional, 5)(x, t))).toEqual([7, 14]);
  });

  it('calls one velocity where one is enough', () => {
    expect(values(withGuidance(conditional, never, 1)(x, t))).toEqual([3, 6]);
    expect(values(withGuidance(conditional, never, 0)(x, t))).toEqual([3, 6]);
    expect(values(withGuidance(conditional, never, 5, { interval: [0.6, 1] })(x, t, info))).toEqual([3, 6]);
    expect(values(withGuidance(conditional, unconditional, 5, { interval: [0.2, 0.5] })(x, t, info))).toEqual(
      [7, 14],
    );
    expect(values(withGuidance(never, never, 5, { zeroInitSteps: 4 })(x, t, info))).toEqual([0, 0]);
  });

  it('stands still for the zero-init steps of a run, then goes on guided, whatever the solver', () => {
    const schedule = uniformSchedule(4);
    for (const solver of ['euler', 'heun', 'midpoint'] as const) {
      const places: number[] = [];
      const onStep = ({ x: at }: { x: tf.Tensor }) => void places.push(at.dataSync()[0]!);
      const guided = withGuidance(tf.onesLike, tf.zerosLike, 3, { zeroInitSteps: 2 });
      sample(guided, { schedule, rule: 'ode', solver, x, onStep });
      expect(places).toEqual([1, 1, 1.75, 2.5]);
    }
  });

  it('guides the steps inside the interval of a run, in the clock of either convention', () => {
    const guidedSteps = (convention: Convention) => {
      const seen: number[] = [];
      const watched: StepVelocity = (at, _t, { step }) => {
        seen.push(step);
        return tf.zerosLike(at);
      };
      const guided = withGuidance(tf.zerosLike, watched, 2, { interval: [0.2, 0.6] });
      sample(guided, { schedule: uniformSchedule(5, convention), rule: 'ode', x });
      return seen;
    };
    expect(guidedSteps(showo2Convention)).toEqual([1, 2, 3]);
    expect(guidedSteps(sd3Convention)).toEqual([1, 2, 3]);
  });

  it('is a velocity of x and t alone, unless its steps differ', () => {
    const everywhere: Velocity = withGuidance(conditional, unconditional, 5, { detachUnconditional: true });
    expect(values(everywhere(x, t))).toEqual([7, 14]);
    const byStep: StepVelocity = withGuidance(conditional, unconditional, 5, { zeroInitSteps: 1 });
    expect(() => (byStep as Velocity)(x, t)).toThrow(/needs to know the step/);
  });

  it('refuses negative scales and intervals that are none', () => {
    for (const scale of [-1, -0.001, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => withGuidance(conditional, unconditional, scale)).toThrow(/scale must be 0 or more/);
    }
    expect(() => withGuidance(conditional, unconditional, 2, { interval: [0.8, 0.2] })).toThrow(/interval/);
  });

  it('can keep gradients out of the unconditional velocity', () => {
    const slope = (detachUnconditional: boolean) =>
      tf
        .grad((w) =>
          tf.sum(
            withGuidance(
              (at) => tf.mul(at, w),
              (at) => tf.mul(at, w),
              5,
              { detachUnconditional },
            )(x, t),
          ),
        )(tf.scalar(1))
        .dataSync()[0];
    expect(slope(false)).toBeCloseTo(3, 5);
    expect(slope(true)).toBeCloseTo(15, 5);
  });

  it('takes velocities that answer later, in plain values', async () => {
    const guided = withGuidance(
      async () => [3, 6],
      async () => new Float32Array([2, 4]),
      5,
    );
    expect(values((await guided(x, t, info)) as tf.Tensor)).toEqual([7, 14]);
  });
});
