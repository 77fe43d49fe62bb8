/**
 * Writes StableHLO modules. `hlo` holds the ops, functions of the block that they are appended to
 * (`hlo.add(block, x, y)`): what they accept, a plugin's parser accepts, and what does not fit is refused with both
 * shapes. Floating-point operations are counted as ops are appended.
 */
export type { Block, OpenRegion, Region } from './block';
export type { CollectiveOptions } from './collective';
export type {
  ConvolutionLayout,
  ConvolutionOptions,
  DotDimensions,
  KernelLayout,
  Precision,
} from './contraction';
export { type CustomCallOptions, quote } from './control';
export type { BinaryOp, Direction, UnaryOp } from './elementwise';
export { describe } from './errors';
export type { GatherDimensions, ScatterDimensions } from './indexing';
export { bfloat16Bits, float16Bits } from './literals';
export { type ArgumentSpec, type Attributes, Module } from './module';
export * as hlo from './ops';
export { extreme, neutral, type Reducer, type WindowOptions } from './reduction';
export {
  byteSize,
  type ElementType,
  isComplex,
  isFloat,
  isInteger,
  isUnsigned,
  numElements,
  type Shape,
  sameShape,
  type TensorType,
  typeText,
  type Value,
} from './types';
