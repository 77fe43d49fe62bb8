/** The pickscore recipe on random weights: policy, scorer and the trainer's configuration. */
import { join } from 'node:path';
import { type EpochMetrics, type GrpoConfigInput, train } from '@flow-grpo/grpo-trainer';
import { pickScore } from '@flow-grpo/rewards';
import * as tf from '@tensorflow/tfjs-core';
import { inTemporaryFolder } from '../temporary';
import type { Workload } from '../workload';
import { writeClip } from './checkpoints';
import { policyOf, prompts, showo2Params, vaeParams } from './policy';

/** A group of images of one prompt and two updates; `devices` GPUs do that many times the work of one. */
const configuration = (workload: Workload, epochs: number, devices: number): GrpoConfigInput => ({
  epochs,
  devices,
  evalEvery: epochs,
  saveEvery: epochs,
  sampling: {
    numSteps: workload.steps,
    noiseLevel: workload.noiseLevel,
    promptsPerEpoch: 1,
    samplesPerPrompt: imagesOf(workload, devices),
    batchSize: workload.batch * devices,
  },
  training: {
    updatesPerEpoch: 2,
    batchSize: workload.rowsPerPass * devices,
    learningRate: 5e-6,
  },
  grpo: { clipRange: 1e-4 },
  ema: { enabled: true, interval: 8 },
  divergence: { action: 'off' },
});

/** Images of an epoch. */
export const imagesOf = ({ batch, batchesPerEpoch }: Workload, devices = 1): number =>
  batch * batchesPerEpoch * devices;

export type TrainEpochs = (options: {
  readonly epochs: number;
  readonly devices?: number;
  /** In place of PickScore. */
  readonly scorer?: Parameters<typeof train>[0]['scorer'];
  readonly onEpoch?: (metrics: EpochMetrics) => void;
}) => Promise<EpochMetrics[]>;

/** Makes the model and the scorer, and hands a function that trains for some epochs to `work`. */
export async function withRecipe(
  workload: Workload,
  work: (run: TrainEpochs) => Promise<void>,
): Promise<void> {
  await inTemporaryFolder(async (root) => {
    const folder = join(root, 'pickscore');
    await writeClip(workload, folder);
    const params = await showo2Params(workload);
    const judge = await pickScore({ model: folder });
    const policy = policyOf(workload, params, await vaeParams(workload));
    await work(async ({ epochs, devices = 1, scorer = judge, onEpoch }) => {
      const seen: EpochMetrics[] = [];
      const { trained, ema } = await train({
        policy,
        scorer,
        prompts: prompts(workload, 2).map((prompt) => ({ prompt })),
        config: configuration(workload, epochs, devices),
        onEpoch: (metrics) => {
          seen.push(metrics);
          onEpoch?.(metrics);
        },
      });
      tf.dispose([trained, ema]);
      return seen;
    });
  });
}
