/**
 * Flow matching as a stochastic differential equation: sampling any flow model with the log-probability of every
 * step, on any TensorFlow.js backend, with no dependency but tfjs-core.
 */
export type { PerSample } from './broadcast';
export * from './conventions';
export { type GuidanceOptions, withGuidance } from './guidance';
export type { SampleOptions, StepEvent } from './loops/engine';
export { sample, sampleTrajectory } from './loops/sample';
export { sampleAsync, sampleTrajectoryAsync } from './loops/sample-async';
export type { Trajectory, TrajectoryOptions } from './loops/trajectory';
export type { AsyncVelocity, Velocity, VelocityInfo } from './loops/velocity';
export * from './policy';
export { type BatchIds, initialNoise } from './random/initial';
export {
  type KeyedRandom,
  keyedNoise,
  type NoiseRequest,
  type NoiseSource,
  seededNoise,
} from './random/noise';
export * from './rules';
export * from './schedules';
export { type AdaptiveOptions, type AdaptiveResult, solveAdaptive } from './solvers/adaptive';
export type { OdeSolver } from './solvers/fixed';
export {
  coefficientNames,
  coefficientsOf,
  type Density,
  type StepCoefficients,
  type StepSpec,
} from './steps/coefficients';
export {
  applyStep,
  type DrawInput,
  logProbOf,
  logProbOfStep,
  type StepInput,
  type StepResult,
  sdeStep,
  stepMean,
} from './steps/step';
