import '@flow-grpo/tfjs-backend-xla';
import { planSteps, shiftedSchedule, stackSteps } from '@flow-grpo/sde-sampler';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { oneDevice } from '../devices';
import { gaussianFlow } from '../policies/gaussian-flow';
import { rolloutFunction } from './rollout';

const STEPS = 20;
const SAMPLES = 8;
const DIMENSIONS = 4096;

const policy = () =>
  gaussianFlow({ prompts: ['red'], mean: new Array(DIMENSIONS).fill(0.2), std: 0.2, withFeatures: true });
const needs = { sampler: 'sde', keep: 'steps' } as const;

/** A rollout's function and what it is called with. */
function rolloutOf(window: readonly number[]) {
  const flow = policy();
  const rollout = rolloutFunction(flow, {
    ...{ epochSize: SAMPLES, sameLatent: false, needs, placement: oneDevice },
  });
  const plan = planSteps(shiftedSchedule(STEPS, 1), {
    ...{ rule: 'sde', noiseLevel: 0.7, stochasticSteps: [...window], ends: 'floor' },
  });
  const args = [
    flow.params,
    flow.encodePrompts(['red']),
    { samples: tf.range(0, SAMPLES, 1, 'int32'), rows: tf.zeros([SAMPLES], 'int32') },
    stackSteps(plan),
    tf.tensor1d([...window], 'int32'),
    random.key(3),
  ] as unknown as Parameters<typeof rollout>;
  return { rollout, args };
}

it('has room for the steps of its window, not for all', async () => {
  await tf.setBackend('xla');
  const room = (window: readonly number[]) => {
    const { rollout, args } = rolloutOf(window);
    const { outputBytes, temporaryBytes } = rollout.lower(...args).cost();
    return outputBytes + temporaryBytes;
  };
  const whole = room(Array.from({ length: STEPS - 2 }, (_, i) => i + 1));
  // State before and after, features: three numbers of each dimension for every step of the window.
  expect(whole).toBeGreaterThan(3 * 18 * 4 * SAMPLES * DIMENSIONS);
  expect(room([7, 8])).toBeLessThan(whole / 3);
});

it('keeps the same steps wherever the window lies: what is before the next is what was after the last', async () => {
  await tf.setBackend('xla');
  for (const window of [
    [1, 2, 3],
    [9, 10, 11],
    [16, 17, 18],
  ]) {
    const { rollout, args } = rolloutOf(window);
    const { records } = rollout(...args);
    const [before, after] = [records!.x, records!.next].map((value) => value.arraySync() as number[][][]);
    expect(records!.x.shape).toEqual([SAMPLES, 3, DIMENSIONS]);
    for (let i = 0; i < SAMPLES; i++) {
      for (const step of [1, 2])
        expect(before![i]![step]!.slice(0, 9)).toEqual(after![i]![step - 1]!.slice(0, 9));
      expect(before![i]![0]!.slice(0, 9)).not.toEqual(before![i]![1]!.slice(0, 9));
    }
  }
});
