import { expectClose } from '@flow-grpo/test-support';
import { compilationStats } from '@flow-grpo/tfjs-backend-xla';
import { type Jitted, jit, random, scan } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import {
  applyStep,
  initialNoise,
  keyedNoise,
  logProbOfStep,
  planSteps,
  type StepTensors,
  sampleTrajectory,
  seededNoise,
  shiftedSchedule,
  stackSteps,
  type Velocity,
  withGuidance,
} from '../src/index';
import { onEveryBackend } from './support/backends';

const shape = [3, 4, 2];
const ids = [0, 1, 2];
const draw = (step: number) => seededNoise(6)({ step, shape, sampleIds: ids });
const schedule = shiftedSchedule(12, 3);
const velocity: Velocity = (x, t) =>
  tf.sub(tf.mul(tf.tanh(x), 0.7), tf.mul(x, tf.reshape(t, [-1, ...new Array(x.rank - 1).fill(1)])));

/** What concerns several backends at once, and `jit`. All other suites run on each backend: see wasm.test.ts, xla.test.ts. */
onEveryBackend('the sampler', (backend) => {
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

  it('is one executable for all twelve steps, compiled once', () => {
    const rollout = jit((x: tf.Tensor, noise: tf.Tensor) => {
      const { final, logProbs } = sampleTrajectory(velocity, { schedule, x, noise });
      return { final, logProbs: tf.stack(logProbs.map((each) => each!)) };
    });
    const draws = (first: number) => tf.stack(Array.from({ length: 12 }, (_, i) => draw(first + i)));
    const [x, noise, other] = [initialNoise(6, shape), draws(0), draws(20)];
    const programs = () => {
      const { compiled, loadedFromDisk } = compilationStats();
      return compiled + loadedFromDisk;
    };
    const before = programs();
    const one = rollout(x, noise);
    const two = rollout(x, other);
    expect(programs() - before).toBe(backend === 'xla' ? 1 : 0);
    expect(one.logProbs.shape).toEqual([10, 3]);
    expect([...two.final.dataSync()]).not.toEqual([...one.final.dataSync()]);
  });

  it('runs under a scan over stacked steps', () => {
    const rows = planSteps(schedule);
    const x = initialNoise(6, shape);
    const noise = tf.stack(Array.from({ length: 12 }, (_, step) => draw(step)));
    const rollout = (start: tf.Tensor, steps: StepTensors, draws: tf.Tensor) =>
      scan(
        (at: tf.Tensor, [c, w]: [StepTensors, tf.Tensor]) => {
          const v = velocity(at, tf.fill([3], 1) as tf.Tensor1D);
          const { next, logProb } = applyStep(c, { x: at, velocity: v, noise: w });
          return [next, logProb as tf.Tensor] as [tf.Tensor, tf.Tensor];
        },
        start,
        [steps, draws] as [StepTensors, tf.Tensor],
      );
    const [final, logProbs] = jit(rollout)(x, stackSteps(rows), noise);
    let at: tf.Tensor = x;
    const expected = rows.map((c, i) => {
      const v = velocity(at, tf.fill([3], 1) as tf.Tensor1D);
      const step = applyStep(c, { x: at, velocity: v, noise: tf.gather(noise, i) });
      at = step.next;
      return step.logProb ? [...step.logProb.dataSync()] : [0, 0, 0];
    });
    expectClose(final.dataSync(), at.dataSync(), 2e-5, 'final');
    expectClose(logProbs.dataSync(), expected.flat(), 2e-5, 'logProbs');
  });

  it('the first ratio is 1 when rollout and update are separate compiled functions', () => {
    const c = planSteps(schedule)[5]!;
    const [x, noise] = [draw(0), draw(2)];
    const t = tf.fill([3], 0.3) as tf.Tensor1D;
    const rollout = jit((at: tf.Tensor, w: tf.Tensor) => {
      const { next, logProb } = applyStep(c, { x: at, velocity: velocity(at, t), noise: w });
      return { next, logProb: logProb as tf.Tensor };
    });
    const { next, logProb } = rollout(x, noise);
    const update = jit((at: tf.Tensor, to: tf.Tensor) =>
      logProbOfStep(c, { x: at, velocity: velocity(at, t), next: to }),
    );
    const again = update(x, next).dataSync();
    // XLA may contract products and sums differently in the two programs; the ratio still holds to 1e-5.
    [...logProb.dataSync()].forEach((value, i) => {
      expect(Math.abs(Math.exp(again[i]! - value) - 1)).toBeLessThan(backend === 'xla' ? 1e-5 : 1e-12);
    });
  });
});
