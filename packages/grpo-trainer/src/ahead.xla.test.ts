/** A run's programs are compiled before they are called: all that it plans, and nothing else later. */

import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { compileSeconds, jit, observeCompilations } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
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

describe('parts that are put off', () => {
  const planned: string[] = [];
  const part = (name: string, size: number) => ({
    [name]() {
      planned.push(name);
      tf.sin(tf.zeros([size])).dispose();
    },
  });
  let ended = 0;
  const options = { plannedFirst: 1, patience: 2 ** 30, onEnd: () => void ended++ };
  beforeEach(() => {
    planned.length = 0;
    ended = 0;
  });

  it('are planned when the caller says so, once', async () => {
    const parts = { ...part('first', 4321), ...part('second', 4322), ...part('third', 4323) };
    const ahead = planAhead(parts, options);
    await ahead.compiled('first');
    expect([planned, ended]).toEqual([['first'], 0]);
    ahead.planRest();
    ahead.planRest();
    expect([planned, ended]).toEqual([['first', 'second', 'third'], 1]);
    await ahead.compiled('third');
    ahead.end();
    expect(ended).toBe(1);
  });

  it('are planned when somebody waits for them', async () => {
    const ahead = planAhead({ ...part('first', 4331), ...part('second', 4332) }, options);
    await ahead.compiled('second');
    expect([planned, ended]).toEqual([['first', 'second'], 1]);
  });

  it('are planned by themselves where the first ones are compiled for long', async () => {
    const chain = jit((x: tf.Tensor) => {
      let y = x;
      for (let i = 0; i < 1500; i++) y = i % 2 ? tf.sin(y) : tf.tanh(y);
      return y;
    });
    const long = () => {
      planned.push('long');
      chain(tf.zeros([64, 64]));
    };
    const ahead = planAhead({ long, ...part('second', 4341) }, { ...options, patience: 0 });
    await ahead.compiled('long');
    expect([planned, ended]).toEqual([['long', 'second'], 1]);
  });

  it('are not, once it has ended', async () => {
    const ahead = planAhead({ ...part('first', 4351), ...part('second', 4352) }, options);
    ahead.end();
    ahead.planRest();
    await ahead.compiled('second');
    expect([planned, ended]).toEqual([['first'], 1]);
  });
});

it('an abort ends the wait at once', async () => {
  const { signal, abort } = (() => {
    const controller = new AbortController();
    return { signal: controller.signal, abort: (why: Error) => controller.abort(why) };
  })();
  const ahead = planAhead({ part: () => void tf.sqrt(tf.zeros([1234])).dispose() }, { signal });
  abort(new Error('enough'));
  await expect(ahead.compiled('part')).rejects.toThrow('enough');
});
