/**
 * Flow-GRPO for any flow-matching model: a trainer against a small `Policy` interface, resumable to the bit, and
 * its parts as pure functions.
 */
export { CheckpointStateError, type RunState, saveRun } from './checkpoint/checkpoint';
export { listRuns } from './checkpoint/folder';
export { loadRun, loadWeights } from './checkpoint/load-run';
export { readRunFile } from './cli/options';
export { planRun, type RunPlan } from './cli/plan-run';
export { useBackend } from './cli/shared';
export { type TrainRunOptions, trainRun } from './cli/train-run';
export { ConfigError, configJsonSchema, defineConfig, resolveConfig } from './config/resolve';
export { type RunFile, resolveRunFile, runFileJsonSchema } from './config/run-file';
export { type GrpoConfig, type GrpoConfigInput, grpoConfigSchema } from './config/schema';
export type { Showo2SetupInput } from './config/setup-schema';
export { type Evaluation, evaluator } from './evaluate';
export { type GuardState, initialGuardState, watch } from './guard';
export {
  type ProgressLine,
  progressLine,
  type TrainingProgress,
  trainingProgress,
} from './logging/progress-line';
export {
  type EvaluationRecord,
  type HistogramRecord,
  type RunLog,
  readLines,
  runLog,
} from './logging/run-log';
export { type EventWriter, eventWriter } from './logging/tensorboard';
export * from './maths/adamw';
export * from './maths/advantages';
export * from './maths/ema';
export * from './maths/learning-rate';
export * from './maths/loss';
export { type GaussianFlowOptions, gaussianFlow } from './policies/gaussian-flow';
export { type Showo2PolicyOptions, showo2Policy } from './policies/showo2';
export type { Params, Policy, Purpose, Tensors, Velocity } from './policy';
export { type FitOptions, type FitReport, type FitResult, type FitSave, fit } from './pretrain/fit';
export {
  drawTimes,
  type FlowBatch,
  type FlowMatchingOptions,
  flowMatchingLoss,
  pretrain,
} from './pretrain/flow-matching';
export { trainVae, type VaeFunctions, type VaeOptions, vaeLoss } from './pretrain/vae';
export { chromeTrace, type Span } from './profile/chrome-trace';
export { profileTable } from './profile/profile-table';
export { type Profile, type ProfileRow, type Profiler, profiler } from './profile/profiler';
export {
  type Bars,
  type ChartOptions,
  escapeXml,
  histogramChart,
  lineChart,
  movingAverage,
  type Series,
} from './report/chart';
export { htmlReport, type Section } from './report/html';
export { type GridCell, type GridOptions, imageGrid } from './report/image-grid';
export { writeRunReport } from './report/run-report';
export type { PromptSource, Scorer, Scores } from './scorer';
export { checkSetup, type FoundSource } from './setup/check';
export { defineSetup, makeSetup, type RunSetup, type SetupContext, type SetupFunction } from './setup/setup';
export { showo2Setup } from './setup/showo2';
export { abortOnSignals } from './signals';
export {
  type EpochDetails,
  type EpochMetrics,
  type Progress,
  type TrainOptions,
  type TrainResult,
  train,
} from './train';
