import type { TensorType } from '../stablehlo';

/** Throws unless a loop's state keeps its storage, which tfjs' dtype does not tell: float32, bfloat16 or float16. */
export function checkSameTypes(
  what: string,
  before: readonly TensorType[],
  after: readonly TensorType[],
): void {
  for (const [i, a] of before.entries()) {
    const b = after[i]!;
    if (a.dtype === b.dtype) continue;
    throw new Error(
      `${what}: tensor ${i} is stored as ${a.dtype} before the step and ${b.dtype} after it; cast one of them`,
    );
  }
}
