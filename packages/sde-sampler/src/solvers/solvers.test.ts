import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { sd3Convention } from '../conventions';
import { sample } from '../loops/sample';
import type { AsyncVelocity, Velocity } from '../loops/velocity';
import { uniformSchedule } from '../schedules';
import { solveAdaptive } from './adaptive';
import { errorWeights, nodes, stages, weights } from './dormand-prince';

/** dx/dt = −2·t·x + t has the solution ½ + (x₀ − ½)·exp(−t²). */
const velocity: Velocity = (x, t) => {
  const column = tf.reshape(t, [-1, 1]);
  return tf.add(tf.mul(tf.mul(x, column), -2), column);
};
const solution = (x0: number, t: number) => 0.5 + (x0 - 0.5) * Math.exp(-t * t);
const x = tf.tensor2d([[2], [-1]]);

describe('fixed solvers', () => {
  it.each([
    ['euler', 1],
    ['midpoint', 2],
    ['heun', 2],
  ] as const)('%s converges with order %i', (solver, order) => {
    const error = (steps: number) => {
      const out = sample(velocity, { schedule: uniformSchedule(steps), rule: 'ode', solver, x });
      return Math.abs(out.dataSync()[0]! - solution(2, 1));
    };
    const measured = Math.log2(error(4) / error(8));
    expect(measured).toBeGreaterThan(order - 0.35);
    expect(measured).toBeLessThan(order + 0.8);
  });

  it('agree in both conventions', () => {
    const mirrored: Velocity = (at, t) => tf.neg(velocity(at, tf.sub(1, t) as tf.Tensor1D));
    for (const solver of ['euler', 'midpoint', 'heun'] as const) {
      const one = sample(velocity, { schedule: uniformSchedule(6), rule: 'ode', solver, x }).dataSync();
      const other = sample(mirrored, {
        schedule: uniformSchedule(6, sd3Convention),
        rule: 'ode',
        solver,
        x,
      }).dataSync();
      expect(other[1]).toBeCloseTo(one[1]!, 5);
    }
  });
});

describe('Dormand–Prince', () => {
  const sum = (row: readonly number[]) => row.reduce((s, e) => s + e, 0);

  it('has a consistent tableau of order five', () => {
    stages.forEach((row, i) => {
      expect(sum(row)).toBeCloseTo(nodes[i]!, 14);
    });
    const c = [0, ...nodes];
    for (let p = 0; p < 5; p++)
      expect(sum(weights.map((w, i) => w * c[i]! ** p))).toBeCloseTo(1 / (p + 1), 14);
    const all = [...c, 1];
    for (let p = 0; p < 4; p++) expect(sum(errorWeights.map((w, i) => w * all[i]! ** p))).toBeCloseTo(0, 14);
  });

  it('steps with order five, and its embedded error is of order five', () => {
    // dx/dt = x·cos t is neither linear in both nor free of time; x(t) = exp(sin t). In doubles, as float32 hides it.
    const f = (at: number, t: number) => at * Math.cos(t);
    const solve = (steps: number) => {
      const h = 2 / steps;
      let [at, largest] = [1, 0];
      for (let n = 0; n < steps; n++) {
        const slopes = [f(at, n * h)];
        const along = (row: readonly number[]) => at + h * sum(row.map((w, i) => w * slopes[i]!));
        stages.forEach((row, i) => {
          slopes.push(f(along(row), (n + nodes[i]!) * h));
        });
        const next = along(weights);
        slopes.push(f(next, (n + 1) * h));
        largest = Math.max(largest, Math.abs(h * sum(errorWeights.map((w, i) => w * slopes[i]!))));
        at = next;
      }
      return { error: Math.abs(at - Math.exp(Math.sin(2))), largest };
    };
    const [coarse, fine] = [solve(20), solve(40)];
    expect(Math.log2(coarse.error / fine.error)).toBeGreaterThan(4.6);
    expect(Math.log2(coarse.error / fine.error)).toBeLessThan(6.4);
    expect(Math.log2(coarse.largest / fine.largest)).toBeGreaterThan(4.6);
    expect(Math.log2(coarse.largest / fine.largest)).toBeLessThan(5.4);
  });

  it('holds the hardest sample of a batch to the tolerance, however many easy ones there are', async () => {
    const hard = tf.tensor2d([[30]]);
    const easy = tf.fill([199, 1], 0.5); // where the velocity of this equation vanishes
    const tolerance = { rtol: 0, atol: 1e-3 };
    const alone = await solveAdaptive(velocity, { x: hard, ...tolerance });
    const among = await solveAdaptive(velocity, { x: tf.concat([hard, easy]), ...tolerance });
    expect(among.evaluations).toBe(alone.evaluations);
    expect(among.x.dataSync()[0]).toBeCloseTo(alone.x.dataSync()[0]!, 4);
    expect(Math.abs(alone.x.dataSync()[0]! - solution(30, 1))).toBeLessThan(1e-2);
  });

  it('meets its tolerance, and tighter tolerances take more steps', async () => {
    const loose = await solveAdaptive(velocity, { x, rtol: 1e-2, atol: 1e-2 });
    const tight = await solveAdaptive(velocity, { x, rtol: 1e-6, atol: 1e-6 });
    expect(Math.abs(tight.x.dataSync()[0]! - solution(2, 1))).toBeLessThan(5e-6);
    expect(Math.abs(loose.x.dataSync()[1]! - solution(-1, 1))).toBeLessThan(2e-2);
    expect(tight.accepted).toBeGreaterThan(loose.accepted);
    expect(tight.evaluations).toBe(1 + 6 * (tight.accepted + tight.rejected));
  });

  it('goes back to the noise it came from, leaks nothing, and takes an asynchronous model', async () => {
    const before = tf.memory().numTensors;
    const there = await solveAdaptive(async (at, t) => tf.tidy(() => velocity(at, t)), { x });
    const back = await solveAdaptive(
      async (at, t) => {
        const v = tf.tidy(() => velocity(at, t));
        const plain = (await v.data()) as Float32Array;
        v.dispose();
        return plain;
      },
      { x: there.x, from: 1, to: 0 },
    );
    expect(tf.memory().numTensors).toBe(before + 2);
    expect(back.x.dataSync()[0]).toBeCloseTo(2, 3);
  });

  it('rejects steps that are too long, and gives up in time', async () => {
    const sharp: Velocity = (at, t) =>
      tf.mul(tf.onesLike(at), tf.reshape(tf.exp(tf.mul(tf.square(tf.sub(t, 0.52)), -400)), [-1, 1]));
    const { x: out, rejected } = await solveAdaptive(sharp, { x, rtol: 1e-5, atol: 1e-5 });
    expect(rejected).toBeGreaterThan(0);
    expect(out.dataSync()[0]).toBeCloseTo(2 + Math.sqrt(Math.PI / 400), 3);
    await expect(solveAdaptive(sharp, { x, rtol: 1e-5, atol: 1e-5, maxSteps: 3 })).rejects.toThrow(
      /in 3 steps/,
    );
    await expect(solveAdaptive((at) => tf.mul(at, Number.NaN), { x })).rejects.toThrow(/not finite/);
    await expect(solveAdaptive(velocity, { x, rtol: 0, atol: 0 })).rejects.toThrow(/above 0/);
    await expect(solveAdaptive(velocity, { x, to: 1.5 })).rejects.toThrow(/no way to go from 0 to 1.5/);
    await expect(solveAdaptive(velocity, { x, from: 0.3, to: 0.3 })).rejects.toThrow(/no way/);
  });

  it('takes a model that answers with its own input, and leaves nothing behind when one throws', async () => {
    const before = tf.memory().numTensors;
    const { x: grown } = await solveAdaptive((at) => at, { x });
    expect(grown.dataSync()[0]).toBeCloseTo(2 * Math.E, 3);
    grown.dispose();
    let calls = 0;
    const failing: AsyncVelocity = async (at) => {
      if (++calls === 12) throw new Error('offline');
      return tf.neg(at);
    };
    await expect(solveAdaptive(failing, { x })).rejects.toThrow('offline');
    expect(tf.memory().numTensors).toBe(before);
  });
});
