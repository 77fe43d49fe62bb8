/** How the small model is tuned: the numbers of the run. */
import type { GrpoConfigInput } from '@flow-grpo/grpo-trainer';
import type { QuickstartOptions } from './options';
import { SAMPLING } from './policy';

/** Epochs of a run that time or a number of images ends. */
const NO_END = 1_000_000;

/**
 * Flow-GRPO-Fast: only the steps after the first one and before the sixth are stochastic and train, the rest of a rollout
 * is the ODE. That learns faster than training all steps, and costs less.
 */
export function recipe({ seed, learningRate, devices }: Recipe): GrpoConfigInput {
  return {
    seed,
    devices,
    epochs: NO_END,
    saveEvery: 100,
    keepCheckpoints: 1,
    evalBatchSize: 120,
    sampling: {
      ...SAMPLING,
      noiseLevel: 0.7,
      promptsPerEpoch: 8,
      samplesPerPrompt: 16,
      window: { start: 1, end: 5 },
    },
    training: {
      learningRate,
      warmupSteps: 6,
      updatesPerEpoch: 2,
      clipRange: 1e-3,
      beta2: 0.99,
      weightDecay: 0,
      globalStd: false,
    },
    ema: { enabled: false },
  };
}

type Recipe = Pick<QuickstartOptions, 'seed' | 'learningRate' | 'devices'>;

/** Images an epoch; a run goes on for whole epochs. */
export const EPOCH_IMAGES = 8 * 16;
