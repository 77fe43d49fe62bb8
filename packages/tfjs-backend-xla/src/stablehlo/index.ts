/** Writes StableHLO modules: every op is checked for shape and type before it becomes text. */
export { Builder } from './builder';
export type { CollectiveOptions } from './collective';
export type {
  ConvolutionLayout,
  ConvolutionOptions,
  DotDimensions,
  KernelLayout,
  Precision,
} from './contraction';
export { type CustomCallOptions, quote } from './control';
export { describe, type Region } from './core';
export type { BinaryOp, Direction, UnaryOp } from './elementwise';
export type { GatherDimensions, ScatterDimensions } from './indexing';
export { bfloat16Bits, float16Bits } from './literals';
export { type ArgumentSpec, type Attributes, Module } from './module';
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
