/** Kernels that tfjs-core has no name for, under names of this package. */
import { kernelInPlace, type Lowering, listed } from '../kernels/kernel';
import { hlo } from '../stablehlo';
import { attentionLowerings } from './attention/lowerings';
import { precisionLowerings } from './precision';
import { randomLowerings } from './random-lowerings';

export const ownLowerings: readonly Lowering[] = [
  ...attentionLowerings,
  ...precisionLowerings,
  ...randomLowerings,
  kernelInPlace('XlaBarrier', (b, inputs) => hlo.optimizationBarrier(b, listed(inputs))),
];
