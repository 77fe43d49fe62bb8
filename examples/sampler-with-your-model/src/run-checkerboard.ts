import { sample, shiftedSchedule } from '@flow-grpo/sde-sampler';
import type * as tf from '@tensorflow/tfjs-core';
import { onBoard } from './checkerboard';
import { type Reward, tuneByGrpo } from './grpo';
import { createWeights, velocityOf, type Weights } from './network';
import { pretrain } from './pretrain';

/** 1 for a point on a square with data in the right half, else 0. */
export const rightHalf: Reward = (points) =>
  Array.from({ length: points.length / 2 }, (_, i) => {
    const [x, y] = [points[2 * i]!, points[2 * i + 1]!];
    return x > 0 && onBoard(x, y) ? 1 : 0;
  });

/** Points of the ODE (noise level 0), the shares on the board and with a reward, and how many squares they use. */
export function judge(weights: Weights, count = 2000) {
  const final = sample((x: tf.Tensor, t: tf.Tensor1D) => velocityOf(weights, x, t), {
    schedule: shiftedSchedule(24, 1),
    rule: 'ode',
    shape: [count, 2],
    seed: 99,
  });
  const points = final.dataSync();
  final.dispose();
  let on = 0;
  const perSquare = new Map<string, number>();
  for (let i = 0; i < points.length; i += 2) {
    if (!onBoard(points[i]!, points[i + 1]!)) continue;
    on++;
    const square = `${Math.floor(points[i]!)},${Math.floor(points[i + 1]!)}`;
    perSquare.set(square, (perSquare.get(square) ?? 0) + 1);
  }
  const squares = [...perSquare.values()].filter((n) => n > 0.05 * count).length;
  const rewarded = rightHalf(points).reduce((sum, r) => sum + r, 0);
  return { points, board: on / count, reward: rewarded / count, squares };
}

/** Trains the checkerboard flow, then tunes it towards the right half. */
export function runCheckerboard(log: (line: string) => void = () => {}) {
  const started = Date.now();
  const seconds = () => ((Date.now() - started) / 1000).toFixed(1);
  const weights = createWeights(3);
  const loss = pretrain(weights);
  const before = judge(weights);
  log(`flow trained in ${seconds()} s, loss ${loss.toFixed(3)}`);
  tuneByGrpo(weights, {
    reward: rightHalf,
    onEpoch: (epoch, mean) => {
      if (epoch % 8 === 0) log(`GRPO epoch ${epoch}: mean reward ${mean.toFixed(3)} (${seconds()} s)`);
    },
  });
  return { before, after: judge(weights), elapsed: (Date.now() - started) / 1000 };
}
