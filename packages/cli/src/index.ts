/**
 * The steps of the `flow-grpo` command as functions, for scripts that train what a run file describes, and the types of your
 * own setup. Logs, reports and profiles are in `/logging`, `/report` and `/profile`; pre-training is in `/pretrain`.
 */
export { useBackend } from './commands/shared';
export { type RunPerson, runPerson } from './human/run-person';
export { type ProgressLine, progressLine } from './logging/progress-line';
export { type PlanOrTrainOptions, planOrTrain } from './run/plan-or-train';
export { planRun, type RunPlan } from './run/plan-run';
export { type RunTrainingOptions, runTraining } from './run/run-training';
export { type RunResult, type TrainRunOptions, trainRun } from './run/train-run';
export type { CodeSetup, TrainingRun } from './run/training-run';
export { applyOverride, readRunFile } from './run-file/read';
export type { RunFile } from './run-file/schema';

export { makeSetup } from './setup/make-setup';
export { defineSetup, type RunSetup, type SetupContext, type SetupFunction } from './setup/setup';
export { decodeShowo2Images, showo2PolicyOf, showo2Setup } from './setup/showo2';
export { zImageSetup } from './setup/z-image';
