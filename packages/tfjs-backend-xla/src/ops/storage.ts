/** The storage types of float32 tensors as StableHLO's element types. */
import { CONVERT, type FloatStorage } from '@flow-grpo/tfjs-jit/backend';
import { attrsOf, kernelInPlace, type Lowering, need } from '../kernels/kernel';
import { type ElementType, hlo } from '../stablehlo';

export const ELEMENTS: Readonly<Record<FloatStorage, ElementType>> = {
  float32: 'f32',
  bfloat16: 'bf16',
  float16: 'f16',
};

const NAMES: Partial<Record<ElementType, FloatStorage>> = {
  f32: 'float32',
  bf16: 'bfloat16',
  f16: 'float16',
};

export const storageOfElement = (element: ElementType): FloatStorage => NAMES[element] ?? 'float32';

export const storageLowerings: readonly Lowering[] = [
  kernelInPlace(CONVERT, (b, inputs, attrs) =>
    hlo.convert(b, need(inputs, 'x'), ELEMENTS[attrsOf<{ storage: FloatStorage }>(attrs).storage]),
  ),
];
