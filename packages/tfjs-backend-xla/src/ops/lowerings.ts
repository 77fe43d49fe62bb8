/** Kernels that tfjs-core has no name for, under names of this package. */
import { kernel, type Lowering, listed } from '../kernels/kernel';
import { precisionLowerings } from './precision';
import { randomLowerings } from './random-lowerings';

export const ownLowerings: readonly Lowering[] = [
  ...precisionLowerings,
  ...randomLowerings,
  kernel('XlaBarrier', (b, inputs) => b.optimizationBarrier(listed(inputs))),
];
