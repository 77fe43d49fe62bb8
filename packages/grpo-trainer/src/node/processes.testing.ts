/** What processes.long.test.ts runs in each process: short trainings, one after the other. */
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { Emulation } from '@flow-grpo/test-support/processes';
import { cluster, configure } from '@flow-grpo/tfjs-backend-xla';
import { mesh, replicate, shardingOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { AlgorithmName } from '../algorithms/registry';
import { gaussianFlow } from '../policies/gaussian-flow';
import { train } from '../train';
import { checkpointFolder } from './checkpoint-folder';

/** A training, and what becomes of it. */
export interface Training {
  readonly folder: string;
  readonly epochs: number;
  readonly shardParameters: boolean;
  readonly shardFrozen?: boolean;
  readonly shardDevices?: number;
  readonly algorithm?: AlgorithmName;
  /** The process that is told to end after this many scored batches. */
  readonly stop?: { readonly process: number; readonly batches: number };
}

export interface Trained {
  readonly reason: string;
  readonly epochs: number;
  readonly losses: number[];
  readonly rewards: number[][];
  readonly evaluations: { scores: number[]; images: number[] }[];
  readonly weights: number[];
  /** Images that this process scored. */
  readonly scored: number;
}

const { client, processes, devicesPerProcess, argument } = workerData as Emulation;
const trainings = argument as readonly Training[];
configure({ ...client, compilationCache: join(trainings[0]!.folder, '../cache') });
await tf.setBackend('xla');
const group = cluster()!;
const devices = processes * devicesPerProcess;

async function trained({
  folder,
  epochs,
  stop,
  algorithm = 'grpo',
  ...sharding
}: Training): Promise<Trained> {
  const controller = new AbortController();
  let scored = 0;
  let batches = 0;

  /** NaN is an image that the scorer drops. */
  const scorer = {
    name: 'first coordinate',
    async score(images: tf.Tensor4D, prompts: readonly string[]) {
      const pixels = await images.data();
      scored += prompts.length;
      batches++;
      if (stop?.process === group.processId && batches === stop.batches)
        controller.abort(new Error('told to end'));
      // In another order than the batches came in.
      await new Promise((resolve) => setTimeout(resolve, (batches % 2) * 20 * group.processId));
      const scores = prompts.map((prompt, i) => (prompt === 'red' ? pixels[3 * i]! : pixels[3 * i + 1]!));
      const dropped = scores.map((score) => (score > 1 ? 1 : 0));
      return {
        scores: scores.map((score, i) => (dropped[i] ? Number.NaN : score)),
        details: { dropped, second: prompts.map((_, i) => pixels[3 * i + 1]!) },
      };
    },
  };

  const losses: number[] = [];
  const rewards: number[][] = [];
  const evaluations: Trained['evaluations'] = [];
  const { reason, trained, ema, ...result } = await train({
    policy: gaussianFlow({ prompts: ['red', 'blue'], mean: [0.2, 0.2, 0.1, 0.3], std: 0.2 }),
    prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
    evalPrompts: Array.from({ length: 9 }, (_, i) => ({ prompt: i % 2 ? 'red' : 'blue' })),
    scorer,
    config: {
      epochs,
      devices,
      algorithm,
      ...sharding,
      evalEvery: 2,
      evalBatchSize: 6,
      saveEvery: 1,
      sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 8 },
      grpo: { clipRange: 0.2, beta: 0.01 },
      nft: { decayType: '0-0.5-0.05-0.9', timesPerImage: 2 },
      awm: { timesPerImage: 2, timestepFraction: 1 },
      dgpo: { truncSteps: 3, betaDpo: 4, timesPerImage: 2, sampling: 'fast' },
      crd: { samplingModelDecay: '0-0.5-0.05-0.9', timesPerImage: 2 },
      // Of whole groups there is one for each device.
      training: { learningRate: 0.02, batchSize: algorithm === 'grpo' ? 8 : 8 * devices, epsilon: 1e-3 },
      divergence: { action: 'off' },
      hacking: { action: 'off' }, // on in command.xla.test.ts
    },
    group,
    store: checkpointFolder(folder, {}, group),
    resume: 'auto',
    signal: controller.signal,
    onEpoch: (metrics, details) => {
      losses.push(metrics.loss!);
      rewards.push([...details.rewards]);
    },
    onEvaluation: ({ scores, images }) => void evaluations.push({ scores: [...scores], images: [...images] }),
  });
  const over = mesh({ data: devices });
  const weights: number[] = [];
  for (const value of [...Object.values(trained), ...Object.values(ema)]) {
    weights.push(...(await replicate(value, shardingOf(value)?.mesh ?? over).data()));
  }
  return { reason, epochs: result.epochs, losses, rewards, evaluations, weights, scored };
}

const all: Trained[] = [];
for (const training of trainings) all.push(await trained(training));
parentPort!.postMessage(all);
await group.gatherJson('end', 0);
process.exit(0);
