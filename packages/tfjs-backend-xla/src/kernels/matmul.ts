import { backend_util } from '@tensorflow/tfjs-core';
import { type Block, type DotDimensions, type ElementType, hlo, type Value } from '../stablehlo';
import { type Fused, fused } from './activation';
import { attrsOf, kernel, type Lowering, listed, need } from './kernel';
import { broadcastShape, isNarrow, promote } from './values';

/**
 * A product in the operands' common type. Narrow floats accumulate in f32 and are rounded once; f32
 * keeps full precision where a GPU would take TF32.
 */
export function dot(b: Block, x: Value, y: Value, d: DotDimensions): Value {
  const dtype = promote(x.dtype, y.dtype);
  const [l, r] = [hlo.convert(b, x, dtype), hlo.convert(b, y, dtype)];
  return hlo.dot(b, l, r, { ...d, precision: isNarrow(dtype) ? 'DEFAULT' : 'HIGHEST' });
}

function batchMatMul(
  b: Block,
  x: Value,
  y: Value,
  transposeA: boolean,
  transposeB: boolean,
  result?: ElementType,
): Value {
  if (x.shape.length < 2 || y.shape.length < 2)
    throw new Error(
      `matMul needs operands of rank 2 or more, got [${x.shape.join(',')}] and [${y.shape.join(',')}]`,
    );
  const rank = Math.max(x.shape.length, y.shape.length);
  const batch = broadcastShape(x.shape.slice(0, -2), y.shape.slice(0, -2));
  const grown = (v: Value) => hlo.broadcastTo(b, v, [...batch, ...v.shape.slice(-2)]);
  const axes = batch.map((_, i) => i);
  const [inner, outer] = [rank - 2 + (transposeA ? 0 : 1), rank - 2 + (transposeB ? 1 : 0)];
  return dot(b, grown(x), grown(y), {
    lhsBatch: axes,
    rhsBatch: axes,
    lhsContract: [inner],
    rhsContract: [outer],
    ...(result && { result }),
  });
}

/** Einsum as a chain of products, each summing the labels that nothing later needs. */
function einsum(b: Block, xs: readonly Value[], equation: string): Value {
  const { allDims, summedDims, idDims } = backend_util.decodeEinsumEquation(equation, xs.length);
  backend_util.checkEinsumDimSizes(allDims.length, idDims, xs.map((x) => ({ shape: [...x.shape] })) as never);
  const outRank = allDims.length - summedDims.length;
  // decodeEinsumEquation numbers the output's labels first, then the summed ones.
  const label = (i: number) => idDims[i]!;
  interface Part {
    readonly value: Value;
    readonly labels: number[];
  }
  const multiply = (p: Part, q: Part, later: ReadonlySet<number>): Part => {
    const shared = p.labels.filter((l) => q.labels.includes(l));
    const keep = shared.filter((l) => l < outRank || later.has(l));
    const drop = shared.filter((l) => !keep.includes(l));
    const value = dot(b, p.value, q.value, {
      lhsBatch: keep.map((l) => p.labels.indexOf(l)),
      rhsBatch: keep.map((l) => q.labels.indexOf(l)),
      lhsContract: drop.map((l) => p.labels.indexOf(l)),
      rhsContract: drop.map((l) => q.labels.indexOf(l)),
    });
    const free = (r: Part) => r.labels.filter((l) => !shared.includes(l));
    return { value, labels: [...keep, ...free(p), ...free(q)] };
  };
  const parts: Part[] = xs.map((value, i) => ({ value, labels: [...label(i)] }));
  let result = parts[0]!;
  for (let i = 1; i < parts.length; i++) {
    const later = new Set(parts.slice(i + 1).flatMap((p) => p.labels));
    result = multiply(result, parts[i]!, later);
  }
  const extra = result.labels.map((_, i) => i).filter((i) => result.labels[i]! >= outRank);
  const summed = hlo.reduce(b, result.value, 'add', extra);
  const labels = result.labels.filter((l) => l < outRank);
  const order = Array.from({ length: outRank }, (_, l) => labels.indexOf(l));
  return hlo.transpose(b, summed, order);
}

/** Kernels that are matrix products. */
export const matmulKernels: Lowering[] = [
  kernel('BatchMatMul', (b, inputs, attrs) => {
    const a = attrsOf<{ transposeA: boolean; transposeB: boolean }>(attrs);
    return batchMatMul(b, need(inputs, 'a'), need(inputs, 'b'), a.transposeA, a.transposeB);
  }),
  kernel('_FusedMatMul', (b, inputs, attrs) => {
    const a = attrsOf<{ transposeA: boolean; transposeB: boolean } & Fused>(attrs);
    const [x, y] = [need(inputs, 'a'), need(inputs, 'b')];
    const rest = { ...a, bias: inputs.bias, preluActivationWeights: inputs.preluActivationWeights };
    return fused(b, [x, y], rest, (result) => batchMatMul(b, x, y, a.transposeA, a.transposeB, result));
  }),
  kernel('Einsum', (b, inputs, attrs) =>
    einsum(b, listed(inputs), attrsOf<{ equation: string }>(attrs).equation),
  ),
];
