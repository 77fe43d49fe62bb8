/** Tunes the flow in the plane with the trainer's own code. */
import { type GrpoConfigInput, type Scorer, train } from '@flow-grpo/grpo-trainer';
import * as tf from '@tensorflow/tfjs-core';
import { planeFlow } from './flow';
import type { AlgorithmChoice, PointsMessage } from './messages';
import { EXTENT, ring } from './plane';
import { type RewardMap, rewardAt } from './reward-map';

export interface TuneOptions {
  readonly algorithm: AlgorithmChoice;
  readonly learningRate: number;
  /** Where reward is now; asked for every image. */
  readonly map: () => RewardMap;
  readonly epochs?: number;
  readonly signal?: AbortSignal;
  readonly onPoints: (message: Omit<PointsMessage, 'kind'>) => void;
}

/** Points in a group, and points that are shown. */
const GROUP = 64;
const SHOWN = 192;
/** A run ends when the reader ends it. */
const NO_END = 1_000_000;

/** Options of each algorithm that suit a small network in the plane; the others are the algorithm's own. */
const OPTIONS: Record<AlgorithmChoice, GrpoConfigInput> = {
  grpo: { algorithm: 'grpo', grpo: { clipRange: 0.2 }, sampling: { window: { kind: 'random', size: 4 } } },
  nft: { algorithm: 'nft' },
  awm: { algorithm: 'awm' },
  sft: { algorithm: 'sft' },
};

const nextTask = () => new Promise<void>((resolve) => setTimeout(resolve));

export async function tune(options: TuneOptions): Promise<void> {
  const { algorithm, learningRate, map, epochs = NO_END, signal, onPoints } = options;
  let epoch = 0;
  const scorer: Scorer = {
    name: 'painted',
    async score(images, prompts, _, { purpose } = {}) {
      await nextTask(); // where computing never waits, no message of the page would be read otherwise
      const pixels = await images.data();
      const points = new Float32Array(2 * prompts.length);
      const scores = prompts.map((_, i) => {
        for (const k of [0, 1]) points[2 * i + k] = (pixels[3 * i + k]! * 2 - 1) * EXTENT;
        return rewardAt(map(), points[2 * i]!, points[2 * i + 1]!);
      });
      if (purpose === 'evaluation') {
        const reward = scores.reduce((a, b) => a + b, 0) / scores.length;
        onPoints({ epoch, points, reward });
      }
      return { scores, details: {} };
    },
  };
  const example = { prompt: 'a point' };
  const policy = planeFlow(ring);
  const result = await train({
    policy,
    prompts: [example],
    evalPrompts: Array.from({ length: SHOWN }, () => example),
    scorer,
    config: {
      ...OPTIONS[algorithm],
      epochs,
      evalEvery: 1,
      evalBatchSize: SHOWN,
      sampling: {
        ...OPTIONS[algorithm].sampling,
        numSteps: 10,
        promptsPerEpoch: 1,
        samplesPerPrompt: GROUP,
        noiseLevel: 0.7,
      },
      training: { learningRate, updatesPerEpoch: 1, maxGradNorm: 1 },
      ema: { enabled: false },
      divergence: { action: 'off' }, // rewards move while the reader paints
    },
    onEpoch: (metrics) => {
      epoch = metrics.epoch + 1;
    },
    ...(signal && { signal }),
  });
  tf.dispose([result.trained, result.ema, policy.params]);
}
