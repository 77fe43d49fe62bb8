/** How the small model is tuned: the numbers of the run. */
import type { GrpoConfigInput } from '@flow-grpo/grpo-trainer';
import { applyOverride } from 'flow-grpo';
import type { QuickstartOptions } from './options';
import { SAMPLING } from './policy';

/**
 * Images of one call where every operation runs by itself: its intermediate values stay until the gradients are made, and
 * WebAssembly has 2 GB for them.
 */
const UNCOMPILED = { rollout: 32, pass: 8 };

/** Epochs of a run that time ends. */
const NO_END = 1_000_000;

const GROUPS = { promptsPerEpoch: 8, samplesPerPrompt: 16 };
const EPOCH = GROUPS.promptsPerEpoch * GROUPS.samplesPerPrompt;

/**
 * What keeps the model varied: without it, it soon draws black wherever a prompt leaves the colour free, and forgets what
 * it knew of the prompts that are rare in training.
 */
const KL_TO_REFERENCE = 0.5;

/** Options of algorithms for this task where their own defaults, made for models a thousand times as large, do not serve. */
const OWN: Readonly<Record<string, object>> = {
  grpo: { clipRange: 1e-3, beta: KL_TO_REFERENCE, globalStd: false },
};

/**
 * Flow-GRPO-Fast: only the steps after the first one and before the sixth are stochastic and train, the rest of a rollout
 * is the ODE. That learns faster than training all steps, and costs less.
 */
export function recipe({
  seed,
  learningRate,
  devices,
  backend,
  algorithm,
  images,
  curve,
  set,
}: Recipe): GrpoConfigInput {
  const compiled = backend === 'xla';
  const config: Record<string, unknown> = {
    seed,
    devices,
    algorithm,
    epochs: images === undefined ? NO_END : Math.ceil(images / EPOCH),
    ...(curve && { evalEvery: Math.ceil(curve / EPOCH) }),
    saveEvery: 100,
    keepCheckpoints: 1,
    evalBatchSize: compiled ? 120 : UNCOMPILED.rollout,
    sampling: {
      ...SAMPLING,
      noiseLevel: 0.7,
      ...GROUPS,
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
    ...(OWN[algorithm] && { [algorithm]: OWN[algorithm] }),
    // The average of the last hundred updates; better by points than the last weights.
    ema: { enabled: true, decay: 0.99, interval: 1 },
  };
  for (const override of set) applyOverride(config, override);
  return config as GrpoConfigInput;
}

type Recipe = Pick<
  QuickstartOptions,
  'seed' | 'learningRate' | 'devices' | 'backend' | 'algorithm' | 'images' | 'curve' | 'set'
>;
