/**
 * For tests: a short run on the smallest policy, in this process or as a program: `node run-once.mjs FOLDER [PAUSE]
 * [ALGORITHM]`, with milliseconds after each epoch, or "told" to go on after the first one when standard input ends.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import type { AlgorithmName } from '../../algorithms/registry';
import { gaussianFlow } from '../../policies/gaussian-flow';
import { train } from '../../train';
import type { TrainOptions, TrainResult } from '../../train-options';
import { checkpointFolder } from '../checkpoint-folder';
import { abortOnSignals } from '../signals';
import { runnerConfig, withCopies } from './config';

const scorer = {
  name: 'first coordinate',
  async score(images: tf.Tensor4D) {
    const pixels = await images.data();
    return { scores: Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!), details: {} };
  },
};

/** The policy with a second weight, named before the first one but behind it in the alphabet, as files list them. */
function inTwoParts(policy: ReturnType<typeof gaussianFlow>): ReturnType<typeof gaussianFlow> {
  const params = { shift: tf.zeros([2]), ...policy.params };
  return {
    ...policy,
    params,
    trainable: Object.keys(params),
    prepare: ({ trained, ...call }) =>
      policy.prepare!({
        ...call,
        trained: { 'mean.weight': tf.add(trained['mean.weight']!, trained.shift!) },
      }),
  };
}

export function runOnce(
  outputDir: string,
  more: Partial<TrainOptions<unknown, unknown>> = {},
): Promise<TrainResult> {
  const policy = inTwoParts(gaussianFlow({ prompts: ['a', 'b'], mean: [0.2, 0.2], std: 0.2 }));
  const prompts = [{ prompt: 'a' }, { prompt: 'b' }];
  const store = checkpointFolder(join(outputDir, 'checkpoints'));
  const options = { policy, prompts, scorer, config: runnerConfig, store, resume: 'auto' as const };
  return train({ ...options, ...more } as TrainOptions<unknown, unknown>);
}

if (process.argv[1]?.endsWith('run-once.mjs')) {
  const [, , folder, pause = '25', algorithm] = process.argv;
  const told = pause === 'told' ? once(process.stdin.resume(), 'end') : undefined;
  const { signal, release } = abortOnSignals();
  await runOnce(folder!, {
    ...(algorithm && { config: withCopies(algorithm as AlgorithmName) }),
    signal,
    onEpoch: async () => {
      console.log('epoch');
      await (told ?? new Promise((resolve) => setTimeout(resolve, Number(pause)))); // time to be killed in
    },
  });
  release();
}
