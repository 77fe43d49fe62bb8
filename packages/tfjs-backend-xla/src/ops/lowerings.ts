/** Kernels that tfjs-core has no name for: those of tfjs-jit, and one of this package. */
import { kernelInPlace, type Lowering, listed } from '../kernels/kernel';
import { hlo } from '../stablehlo';
import { randomLowerings } from './random';
import { storageLowerings } from './storage';

export const ownLowerings: readonly Lowering[] = [
  ...randomLowerings,
  ...storageLowerings,
  kernelInPlace('XlaBarrier', (b, inputs) => hlo.optimizationBarrier(b, listed(inputs))),
];
