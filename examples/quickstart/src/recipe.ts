/** How the small model is tuned: the numbers of the run. */
import type { GrpoConfigInput } from '@flow-grpo/grpo-trainer';
import type { QuickstartOptions } from './options';
import { SAMPLING } from './policy';

/**
 * Images of one call where every operation runs by itself: its intermediate values stay until the gradients are made, and
 * WebAssembly has 2 GB for them. Epochs are small, so that one does not take minutes.
 */
const UNCOMPILED = { rollout: 32, pass: 8, prompts: 2 };

/** Epochs of a run that time or a number of images ends. */
const NO_END = 1_000_000;

/**
 * What keeps the model varied: without it, it soon draws black wherever a prompt leaves the colour free, and forgets what
 * it knew of the prompts that are rare in training.
 */
const KL_TO_REFERENCE = 0.5;

/**
 * Flow-GRPO-Fast: only the steps after the first one and before the sixth are stochastic and train, the rest of a rollout
 * is the ODE. That learns faster than training all steps, and costs less.
 */
export function recipe({ seed, learningRate, devices }: Recipe, compiled: boolean): GrpoConfigInput {
  return {
    seed,
    devices,
    epochs: NO_END,
    saveEvery: 100,
    keepCheckpoints: 1,
    evalBatchSize: compiled ? 120 : UNCOMPILED.rollout,
    sampling: {
      ...SAMPLING,
      noiseLevel: 0.7,
      promptsPerEpoch: compiled ? 8 : UNCOMPILED.prompts,
      samplesPerPrompt: 16,
      ...(compiled ? {} : { batchSize: UNCOMPILED.rollout }),
      window: { start: 1, end: 5 },
    },
    training: {
      learningRate,
      warmupSteps: 6,
      updatesPerEpoch: 2,
      ...(compiled ? {} : { batchSize: UNCOMPILED.pass }),
      beta2: 0.99,
      weightDecay: 0,
    },
    grpo: { clipRange: 1e-3, beta: KL_TO_REFERENCE, globalStd: false },
    // The average of the last hundred updates; better by points than the last weights.
    ema: { enabled: true, decay: 0.99, interval: 1 },
  };
}

type Recipe = Pick<QuickstartOptions, 'seed' | 'learningRate' | 'devices'>;
