/** Grids of times from noise to data, and which of their steps draw noise. */
export { type DynamicShiftOptions, diffusersSchedule, dynamicShift } from './dynamic-shift';
export {
  coefficientsFromRow,
  coefficientTable,
  type PlanOptions,
  stepCoefficients,
  trainableSteps,
} from './plan';
export {
  customSchedule,
  type Schedule,
  shiftedSchedule,
  shiftTime,
  stepsOf,
  uniformSchedule,
} from './schedule';
export {
  fixedWindow,
  type RandomWindowOptions,
  randomWindow,
  type SlidingWindowOptions,
  slidingWindow,
} from './windows';
