/** Grids of times from noise to data, and which of their steps draw noise. */
export { type DynamicShiftOptions, diffusersSchedule, dynamicShift } from './dynamic-shift';
export { type PlanOptions, planSteps, trainableSteps } from './plan';
export {
  customSchedule,
  type Schedule,
  shiftedSchedule,
  shiftTime,
  stepsOf,
  uniformSchedule,
} from './schedule';
export { type PlanCheck, type StepWindow, windowProblems, windowRange, windowSteps } from './windows';
