import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { sd3 } from '../conventions';
import { sample } from '../loops/sample';
import type { Velocity } from '../loops/velocity';
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
    const mirrored: Velocity = (at, t, info) => tf.neg(velocity(at, tf.sub(1, t) as tf.Tensor1D, info));
    for (const solver of ['euler', 'midpoint', 'heun'] as const) {
      const one = sample(velocity, { schedule: uniformSchedule(6), rule: 'ode', solver, x }).dataSync();
      const other = sample(mirrored, {
        schedule: uniformSchedule(6, sd3),
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
    const there = await solveAdaptive(async (at, t, info) => tf.tidy(() => velocity(at, t, info)), { x });
    const back = await solveAdaptive(
      async (at, t, info) => {
        const v = tf.tidy(() => velocity(at, t, info));
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
      tf.mul(tf.onesLike(at), tf.reshape(tf.exp(tf.mul(tf.square(tf.sub(t, 0.52)), -4000)), [-1, 1]));
    const { x: out, rejected } = await solveAdaptive(sharp, { x, rtol: 1e-5, atol: 1e-5 });
    expect(rejected).toBeGreaterThan(0);
    expect(out.dataSync()[0]).toBeCloseTo(2 + Math.sqrt(Math.PI / 4000), 3);
    await expect(solveAdaptive(sharp, { x, rtol: 1e-5, atol: 1e-5, maxSteps: 3 })).rejects.toThrow(
      /in 3 steps/,
    );
    await expect(solveAdaptive((at) => tf.mul(at, Number.NaN), { x })).rejects.toThrow(/not finite/);
    await expect(solveAdaptive(velocity, { x, rtol: 0, atol: 0 })).rejects.toThrow(/above 0/);
  });
});
