import * as tf from '@tensorflow/tfjs-core';
import { coefficientNames, type StepCoefficients, type StepTensors } from './coefficients';

/**
 * The steps of a plan as tensors, one float32 [steps] for each coefficient: the `xs` of a scan, so that one traced step
 * serves the whole schedule, and an argument of a compiled function, so that one executable serves all plans.
 */
export const stackSteps = (steps: readonly StepCoefficients<number>[]): StepTensors =>
  mapCoefficients((name) => tf.tensor1d(steps.map((step) => step[name])));

/**
 * Some of the steps, in the order of `indices`.
 * @param indices int32, or host integers; a single number gives scalars
 */
export const gatherSteps = (
  steps: StepTensors,
  indices: tf.Tensor | readonly number[] | number,
): StepTensors => mapCoefficients((name) => tf.gather(steps[name], indices as tf.Tensor | tf.TensorLike));

function mapCoefficients(f: (name: (typeof coefficientNames)[number]) => tf.Tensor): StepTensors {
  return Object.fromEntries(coefficientNames.map((name) => [name, f(name)])) as StepTensors;
}
