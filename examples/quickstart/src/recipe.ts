/** How the small model is tuned: the numbers of the run. */
import type { GrpoConfigInput } from '@flow-grpo/grpo-trainer';
import { applyOverride } from 'flow-grpo';
import type { QuickstartOptions } from './options';
import { SAMPLING } from './policy';

/**
 * Images of one call where every operation runs by itself: its intermediate values stay until the gradients are made, and
 * WebAssembly has 2 GB for them. Epochs are small, so that one does not take minutes.
 */
const UNCOMPILED = { rollout: 32, pass: 8, prompts: 2 };

/** Epochs of a run that time ends. */
const NO_END = 1_000_000;

const PROMPTS = 16;
const IMAGES_PER_PROMPT = 16;

interface Preset {
  readonly learningRate: number;
  /** Falls as 1/√update by default, so that any length of run is served. */
  readonly schedule?: 'constant';
  /** Options of the algorithm where its own defaults, made for models a thousand times as large, do not serve. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** Two times of the rollout's grid for each image, and a hold on the pre-trained velocity, without which long runs collapse. */
const NFT = { klWeight: 0.1, klTarget: 0.05, timesPerImage: 2, decayType: 0, globalStd: false };

/**
 * What keeps the model varied: without it, it soon draws black wherever a prompt leaves the colour free, and forgets what
 * it knew of the prompts that are rare in training.
 */
const GRPO = { clipRange: 1e-3, beta: 0.5, globalStd: false };

const PRESETS: Readonly<Record<string, Preset>> = {
  nft: { learningRate: 1e-4, schedule: 'constant', options: NFT },
  grpo: { learningRate: 3e-5, options: GRPO },
  awm: { learningRate: 1e-4 },
  crd: { learningRate: 1e-4 },
  dgpo: { learningRate: 1e-4 },
};

/** Of algorithms that have no preset. */
const LEARNING_RATE = 3e-5;

/**
 * All weights train. Where an algorithm needs noise, only the steps after the first one and before the sixth are stochastic
 * and train, as in Flow-GRPO-Fast, and the rest of a rollout is the ODE: that learns faster than training all steps, and
 * costs less.
 */
export function recipe(
  { seed, learningRate, devices, algorithm, images, curve, set }: Recipe,
  compiled: boolean,
): GrpoConfigInput {
  const promptsPerEpoch = compiled ? PROMPTS : UNCOMPILED.prompts;
  const epochImages = promptsPerEpoch * IMAGES_PER_PROMPT;
  const preset = PRESETS[algorithm];
  const config: Record<string, unknown> = {
    seed,
    devices,
    algorithm,
    epochs: images === undefined ? NO_END : Math.ceil(images / epochImages),
    ...(curve && { evalEvery: Math.ceil(curve / epochImages) }),
    saveEvery: 100,
    keepCheckpoints: 1,
    evalBatchSize: compiled ? 120 : UNCOMPILED.rollout,
    sampling: {
      ...SAMPLING,
      noiseLevel: 0.7,
      promptsPerEpoch,
      samplesPerPrompt: IMAGES_PER_PROMPT,
      ...(compiled ? {} : { batchSize: UNCOMPILED.rollout }),
      window: { start: 1, end: 5 },
    },
    training: {
      learningRate: learningRate ?? preset?.learningRate ?? LEARNING_RATE,
      warmupSteps: 6,
      schedule: preset?.schedule ?? 'inverseSqrt',
      decayFrom: 100,
      updatesPerEpoch: 2,
      ...(compiled ? {} : { batchSize: UNCOMPILED.pass }),
      beta2: 0.99,
      weightDecay: 0,
    },
    ...(preset?.options && { [algorithm]: { ...preset.options } }),
    // The average of the last hundred updates; better by points than the last weights.
    ema: { enabled: true, decay: 0.99, interval: 1 },
  };
  for (const override of set) applyOverride(config, override);
  return config as GrpoConfigInput;
}

type Recipe = Pick<
  QuickstartOptions,
  'seed' | 'learningRate' | 'devices' | 'algorithm' | 'images' | 'curve' | 'set'
>;
