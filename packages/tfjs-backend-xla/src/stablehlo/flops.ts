/**
 * Floating-point operations of ops, by the rules of XLA's own cost analysis (xla/service/hlo_cost_analysis.cc): one an
 * element, two a multiply-add, none where padding makes a product known. Integers, comparisons and copies count nothing.
 */
import { isComplex, isFloat, numElements, type TensorType } from './types';

/** Elements of an array of floating-point numbers; none of another. */
export const floatElements = (x: TensorType): number =>
  isFloat(x.dtype) || isComplex(x.dtype) ? numElements(x.shape) : 0;

/** A matrix product whose contracted axes have `contracted` elements together. */
export const productFlops = (result: TensorType, contracted: number): number =>
  2 * floatElements(result) * contracted;

/** One axis of a convolution's space. */
export interface ConvolutionAxis {
  readonly input: number;
  readonly kernel: number;
  readonly output: number;
  readonly stride: number;
  readonly padding: number;
  readonly inputDilation: number;
  readonly kernelDilation: number;
}

/** Pairs of an output and a kernel position that meet an element of the input: neither padding nor a hole. */
export function meetingPositions(axis: ConvolutionAxis): number {
  const { input, kernel, output, stride, padding, inputDilation, kernelDilation } = axis;
  let count = 0;
  for (let k = 0; k < kernel; k++) {
    for (let o = 0; o < output; o++) {
      const at = o * stride + k * kernelDilation - padding;
      if (at >= 0 && at % inputDilation === 0 && at / inputDilation < input) count++;
    }
  }
  return count;
}

/** What an op reads and makes, by the values' ids, and its own operations. */
export interface CountedOp {
  readonly operands: readonly string[];
  readonly results: readonly string[];
  readonly flops: number;
}

/** Operations of those ops of a block that `results` depend on: XLA drops the others. Ops without results stay. */
export function neededFlops(ops: readonly CountedOp[], results: readonly string[]): number {
  if (ops.every(({ flops }) => flops === 0)) return 0;
  const needed = new Set(results);
  let total = 0;
  for (let i = ops.length - 1; i >= 0; i--) {
    const op = ops[i]!;
    if (op.results.length > 0 && !op.results.some((id) => needed.has(id))) continue;
    total += op.flops;
    for (const id of op.operands) needed.add(id);
  }
  return total;
}
