/** A run's programs are compiled before they are called: all that it plans, and nothing else later. */

import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { compileSeconds, observeCompilations } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../showo2-model/src/testing/tiny-policy';
import { planAhead } from './ahead';
import type { GrpoConfigInput } from './config/schema';
import type { EpochMetrics } from './epoch-metrics';
import { gaussianFlow } from './policies/gaussian-flow';
import type { Policy } from './policy';
import { train } from './train';

beforeAll(async () => {
  configure({ devices: 2, compilationCache: false });
  expect(await tf.setBackend('xla')).toBe(true);
});
afterAll(() => tf.setBackend('cpu'));

/** Functions of the trainer and of its policies; operations by themselves begin with a capital letter. */
const isFunction = (name: string) => /^[a-z]/.test(name);

const showo2 = (more = {}) => showo2Policy({ ...tinyShowo2(), guidanceScale: 3, ...more }) as Policy;
const gaussian = () => gaussianFlow({ prompts: ['red', 'blue'], mean: [0.2, 0.2], std: 0.2 }) as Policy;

it.each<[string, Policy | (() => Policy), GrpoConfigInput]>([
  ['Show-o2, several passes', showo2, { training: { batchSize: 4, stepsPerPass: 1 } }],
  ['on two devices', showo2, { devices: 2, training: { batchSize: 4, stepsPerPass: 1 } }],
  [
    'all parameters, split',
    () => showo2({ train: ['showo.model.layers.*', 'diffusion_head_*'] }),
    { devices: 2, shardParameters: true },
  ],
  ['NFT, with copies that move', gaussian, { algorithm: 'nft' }],
  ['DPO, pairs of images', gaussian, { algorithm: 'dpo' }],
])('every function is compiled before the first epoch: %s', async (_, policy, given) => {
  const seen: string[][] = [];
  const late = new Set<string>();
  let begun = false;
  const epochs: EpochMetrics[] = [];
  const { trained, ema } = await train({
    policy: typeof policy === 'function' ? policy() : policy,
    prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
    evalPrompts: [{ prompt: 'red' }, { prompt: 'blue' }, { prompt: 'red' }],
    scorer: brightness,
    config: {
      ...{ epochs: 2, evalEvery: 1, evalBatchSize: 2 },
      ...given,
      sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 4 },
      training: { updatesPerEpoch: 2, ...given.training },
    },
    onCompile: (names) => void seen.push([...names]),
    onProgress: ({ phase }) => {
      // Those before it have been waited for; what comes up from here on was not foreseen.
      if (phase === 'update' && !begun) {
        begun = true;
        observeCompilations((names) => {
          for (const name of names.filter(isFunction)) late.add(name);
        });
      }
    },
    onEpoch: (metrics) => void epochs.push(metrics),
  });
  tf.dispose([trained, ema]);
  expect([...late]).toEqual([]);
  // Programs that an earlier run had are there.
  expect(seen.flat()).toContain('gradientPass');
  expect(seen.at(-1)).toEqual([]);
  expect(epochs[0]!.secondsCompile).toBeGreaterThan(0);
  expect(epochs[0]!.secondsCompile).toBeGreaterThan(epochs[1]!.secondsCompile!);
});

it('parts that cannot be planned are compiled where they are called', async () => {
  const x = tf.scalar(1);
  const ahead = planAhead({
    reads: () => void tf.neg(x).dataSync(),
    fine: () => void tf.neg(x).dispose(),
  });
  await ahead.compiled('reads');
  await ahead.compiled('fine');
  await ahead.compiled('unknown');
  expect(ahead.takeSeconds()).toBeGreaterThan(0);
  const before = compileSeconds();
  x.dispose();
  expect(compileSeconds()).toBe(before);
});

it('an abort ends the wait at once', async () => {
  const { signal, abort } = (() => {
    const controller = new AbortController();
    return { signal: controller.signal, abort: (why: Error) => controller.abort(why) };
  })();
  const ahead = planAhead({ part: () => void tf.sqrt(tf.zeros([1234])).dispose() }, signal);
  abort(new Error('enough'));
  await expect(ahead.compiled('part')).rejects.toThrow('enough');
});
