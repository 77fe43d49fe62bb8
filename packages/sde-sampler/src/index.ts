/**
 * Flow matching as a stochastic differential equation: sampling any flow model with the log-probability of every
 * step, on any TensorFlow.js backend, with no dependency but tfjs-core.
 *
 * `@flow-grpo/sde-sampler/conventions` converts times, velocities and scores between conventions;
 * `@flow-grpo/sde-sampler/rules` holds the step rules by name and what writing one of your own takes.
 */
export type { PerSample } from './broadcast';
export { type Convention, sd3Convention, showo2Convention } from './conventions';
export { type GuidanceOptions, withGuidance } from './guidance';
export type { SampleOptions, StepEvent } from './loops/engine';
export { sample, sampleTrajectory } from './loops/sample';
export { sampleAsync, sampleTrajectoryAsync } from './loops/sample-async';
export type { Trajectory, TrajectoryOptions } from './loops/trajectory';
export type { AsyncVelocity, StepVelocity, Velocity, VelocityInfo } from './loops/velocity';
export {
  gaussianKl,
  guardedRatio,
  guardedWeight,
  importanceRatio,
  klOfVelocities,
  logRatio,
  type TwoPolicies,
} from './policy';
export { type BatchIds, initialNoise } from './random/initial';
export {
  type KeyedRandom,
  keyedNoise,
  type NoiseRequest,
  type NoiseSource,
  seededNoise,
} from './random/noise';
export type { Density, RuleName, StepRule } from './rules';
export {
  customSchedule,
  type DynamicShiftOptions,
  diffusersSchedule,
  dynamicShift,
  type PlanCheck,
  type PlanOptions,
  planSteps,
  type Schedule,
  type StepWindow,
  shiftedSchedule,
  trainableSteps,
  uniformSchedule,
  windowProblems,
  windowRange,
  windowSteps,
} from './schedules';
export { type AdaptiveOptions, type AdaptiveResult, solveAdaptive } from './solvers/adaptive';
export type { OdeSolver } from './solvers/fixed';
export type { StepCoefficients, StepSpec, StepTensors } from './steps/coefficients';
export { gatherSteps, stackSteps } from './steps/stack';
export {
  applyStep,
  type DrawInput,
  logProbOf,
  logProbOfStep,
  type StepInput,
  type StepResult,
  sdeStep,
  stepMean,
  stepSigma,
} from './steps/step';
