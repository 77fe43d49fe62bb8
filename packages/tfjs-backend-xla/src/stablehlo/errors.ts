import { sameShape, type TensorType } from './types';

/** Refuses an op, by its StableHLO name. */
export function fail(op: string, message: string): never {
  throw new Error(`stablehlo.${op}: ${message}`);
}

/** `f32[2,3]`. */
export const describe = (v: TensorType): string => `${v.dtype}[${v.shape.join(',')}]`;

export function requireSame(op: string, x: TensorType, y: TensorType): void {
  if (x.dtype !== y.dtype || !sameShape(x.shape, y.shape))
    fail(op, `operands must agree in shape and type, got ${describe(x)} and ${describe(y)}`);
}
