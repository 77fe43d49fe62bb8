/**
 * Flow-GRPO for any flow-matching model: a trainer against a small `Policy` interface, resumable to the bit. Its parts as
 * pure functions are in `/maths`, a run's options in `/config`, and the folder of checkpoints in `/node`.
 */
export { CheckpointStateError } from './checkpoint/checkpoint';
export { ConfigError, configJsonSchema, defineConfig, resolveConfig } from './config/resolve';
export { type GrpoConfig, type GrpoConfigInput, grpoConfigSchema } from './config/schema';
export { type Placement, placementOn } from './devices';
export { type Evaluation, evaluator } from './evaluate';
export { type GuardState, initialGuardState, watch } from './guard';
export { type GaussianFlowOptions, gaussianFlow } from './policies/gaussian-flow';
export {
  type Params,
  type Policy,
  type Purpose,
  type Tensors,
  trainableParams,
  type Velocity,
} from './policy';
export { flattenTensors, mapTensors } from './rollout/rollout';
export type { PromptSource, Scorer, Scores } from './scorer';
export {
  type EpochDetails,
  type EpochMetrics,
  type Progress,
  type TrainOptions,
  type TrainResult,
  train,
} from './train';
export { currentPeakTflops, peakTflopsOf } from './utilisation';
