/**
 * Flow-GRPO for any flow-matching model behind a small `Policy` interface, resumable bit for bit, with algorithms as values.
 * `/algorithms` holds the parts of your own algorithm, `/maths` the mathematics as pure functions, `/config` a run's options,
 * and `/node` the folder of checkpoints.
 */
export { algorithms } from './algorithms/registry';
export { memoryStore } from './checkpoint/memory-store';
export { CheckpointStateError, type CheckpointStore, type RunState } from './checkpoint/store';
export { ConfigError, defineConfig, resolveConfig } from './config/resolve';
export type { GrpoConfig, GrpoConfigInput } from './config/schema';
export { placementOn } from './devices';
export type { EpochDetails, EpochMetrics } from './epoch-metrics';
export { createEvaluator, type Evaluation } from './evaluate';
export type { Placement } from './placement';
export { type EpochProgram, planEpoch } from './plan-epoch';
export { type GaussianFlowOptions, gaussianFlow } from './policies/gaussian-flow';
export { type LoraPolicy, type LoraPolicyOptions, loraPolicy, loraScaleOf } from './policies/lora-policy';
export {
  type FeaturesCall,
  type Params,
  type Policy,
  type PrepareCall,
  type Purpose,
  type Tensors,
  trainableParams,
  type VelocityCall,
  type VelocityResult,
} from './policy';
export type { ProcessGroup } from './process-group';
export type { Progress } from './progress';
export type { PromptStatistics } from './prompts/prompt-statistics';
export {
  asScorer,
  type Example,
  type PromptSource,
  type RewardFunction,
  type Scorer,
  type Scores,
  type ScoringOptions,
  withEvalRewards,
} from './scorer';
export { train } from './train';
export type { TrainOptions, TrainResult } from './train-options';
export { currentPeakTflops, peakTflopsOf } from './utilisation';
export { detectHacking } from './watch/hacking';
