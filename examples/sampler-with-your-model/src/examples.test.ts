import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { boardData, onBoard } from './checkerboard';
import { ringModel, sampleRing } from './remote';
import { runCheckerboard } from './run-checkerboard';

// The example's backend; tfjs's plain one takes five times as long.
beforeAll(async () => {
  await tf.setBackend('wasm');
});

describe('the checkerboard', () => {
  it('is trained and tuned: the reward rises and the points stay on the board', () => {
    const { before, after } = runCheckerboard();
    expect(before.board).toBeGreaterThan(0.75);
    expect(before.reward).toBeLessThan(0.5);
    expect(after.reward).toBeGreaterThan(0.8);
    expect(after.board).toBeGreaterThan(0.8);
    // All four squares of the right half, not one point of them.
    expect(before.squares).toBe(8);
    expect(after.squares).toBe(4);
  });

  it('draws its data on the squares', () => {
    const points = boardData(200, 1, 0).dataSync();
    const squares = new Set<string>();
    for (let i = 0; i < points.length; i += 2) {
      expect(onBoard(points[i]!, points[i + 1]!)).toBe(true);
      squares.add(`${Math.floor(points[i]!)},${Math.floor(points[i + 1]!)}`);
    }
    expect(squares.size).toBe(8);
  });
});

describe('the model outside tfjs', () => {
  it('is sampled with noise and without, with log-probabilities', async () => {
    const ode = await sampleRing(200, 0, 5);
    const sde = await sampleRing(200, 0.7, 5);
    expect(ode.onRing).toBeGreaterThan(0.85);
    expect(sde.onRing).toBeGreaterThan(0.85);
    expect(ode.logProbs).toEqual([]);
    expect(sde.logProbs).toHaveLength(14);
    for (const value of sde.logProbs.flat()) expect(Number.isFinite(value)).toBe(true);
  });

  it('points to the ring', async () => {
    const [vx] = await ringModel(new Float32Array([0.6, 0]), 0.4);
    expect(vx!).toBeGreaterThan(0);
  });
});
