/** Attention as matrix products and a softmax in float32, for every platform, storage and mask. */
import type { Builder, Value } from '../../stablehlo';

export interface AttentionValues {
  /** [B, T, N, D] */
  readonly q: Value;
  /** [B, S, K, D] */
  readonly k: Value;
  readonly v: Value;
  /** Broadcastable to [B, N, T, S]. */
  readonly mask?: Value | undefined;
  /** i32 [B] */
  readonly kvLengths?: Value | undefined;
  readonly qLengths?: Value | undefined;
}

export interface AttentionAttrs {
  readonly scale: number;
  readonly causal: boolean;
}

/** Score of a masked position: finite, so that rows without any visible key stay finite too. */
const MASKED = -0.7 * 3.4028234663852886e38;

interface Sizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly size: number;
}

const sizes = ({ q, k }: AttentionValues): Sizes => ({
  batch: q.shape[0]!,
  queries: q.shape[1]!,
  keys: k.shape[1]!,
  heads: q.shape[2]!,
  kvHeads: k.shape[2]!,
  size: q.shape[3]!,
});

/** [B, T, N, D] → [B, K, N/K·T, D]: the queries of one key/value head side by side. */
function grouped(b: Builder, x: Value, { batch, queries, heads, kvHeads, size }: Sizes): Value {
  const rows = (heads / kvHeads) * queries;
  return b.reshape(b.transpose(x, [0, 2, 1, 3]), [batch, kvHeads, rows, size]);
}

function ungrouped(b: Builder, x: Value, { batch, queries, heads, size }: Sizes): Value {
  return b.transpose(b.reshape(x, [batch, heads, queries, size]), [0, 2, 1, 3]);
}

const byHead = (b: Builder, x: Value): Value => b.transpose(x, [0, 2, 1, 3]);

/** Products over the last two axes, batched over the first two. */
const product = (b: Builder, x: Value, y: Value, lhs: number, rhs: number, result = x.dtype): Value =>
  b.dot(x, y, {
    lhsBatch: [0, 1],
    rhsBatch: [0, 1],
    lhsContract: [lhs],
    rhsContract: [rhs],
    result,
    precision: x.dtype === 'f32' ? 'HIGHEST' : 'DEFAULT',
  });

/** i1 [B, N, T, S]: which keys a query sees; undefined when all. */
function visible(b: Builder, values: AttentionValues, causal: boolean): Value | undefined {
  const { batch, heads, queries, keys } = sizes(values);
  const shape = [batch, heads, queries, keys];
  let seen: Value | undefined;
  if (causal) seen = b.compare('LE', b.iota(shape, 3, 'i32'), b.iota(shape, 2, 'i32'));
  if (values.kvLengths) {
    const limit = b.broadcastInDim(values.kvLengths, shape, [0]);
    const real = b.compare('LT', b.iota(shape, 3, 'i32'), limit);
    seen = seen ? b.and(seen, real) : real;
  }
  return seen;
}

/** Softmax weights, f32 [B, N, T, S]. */
function weights(b: Builder, values: AttentionValues, { scale, causal }: AttentionAttrs): Value {
  const all = sizes(values);
  const shape = [all.batch, all.heads, all.queries, all.keys];
  const dots = product(b, grouped(b, values.q, all), byHead(b, values.k), 3, 3, 'f32');
  let scores = b.mul(b.reshape(dots, shape), b.full(shape, scale, 'f32'));
  if (values.mask) scores = b.add(scores, b.broadcastTo(b.convert(values.mask, 'f32'), shape));
  const seen = visible(b, values, causal);
  if (seen) scores = b.select(seen, scores, b.full(shape, MASKED, 'f32'));
  const wide = (x: Value) => b.broadcastInDim(x, shape, [0, 1, 2]);
  const exponentials = b.exp(b.sub(scores, wide(b.reduce(scores, 'maximum', [3]))));
  return b.div(exponentials, wide(b.reduce(exponentials, 'add', [3])));
}

/** x with zeros at queries beyond their row's length; x is [B, T, N, D]. */
export function realQueries(b: Builder, x: Value, qLengths: Value | undefined): Value {
  if (!qLengths) return x;
  const real = b.compare('LT', b.iota(x.shape, 1, 'i32'), b.broadcastInDim(qLengths, x.shape, [0]));
  return b.select(real, x, b.full(x.shape, 0, x.dtype));
}

/** The output [B, T, N, D] and the weights f32 [B, N, T, S], which the backward pass takes. */
export function decomposedForward(
  b: Builder,
  values: AttentionValues,
  attrs: AttentionAttrs,
): [Value, Value] {
  const all = sizes(values);
  const p = weights(b, values, attrs);
  const rows = (all.heads / all.kvHeads) * all.queries;
  const flat = b.reshape(b.convert(p, values.v.dtype), [all.batch, all.kvHeads, rows, all.keys]);
  const out = product(b, flat, byHead(b, values.v), 3, 2);
  return [realQueries(b, ungrouped(b, out, all), values.qLengths), p];
}

/** Gradients of q, k, v and, where there is one, the mask. */
export function decomposedBackward(
  b: Builder,
  values: AttentionValues,
  { scale }: AttentionAttrs,
  saved: { weights: Value; dOutput: Value },
): Value[] {
  const { q, k, v, mask } = values;
  const all = sizes(values);
  const { batch, kvHeads, keys, heads, queries } = all;
  const rows = (heads / kvHeads) * queries;
  const shape = [batch, heads, queries, keys];
  const flatShape = [batch, kvHeads, rows, keys];
  const p = saved.weights;
  const dOut = grouped(b, realQueries(b, b.convert(saved.dOutput, v.dtype), values.qLengths), all);
  const dv = product(b, b.reshape(b.convert(p, v.dtype), flatShape), dOut, 2, 2);
  const dp = b.reshape(product(b, dOut, byHead(b, v), 3, 3, 'f32'), shape);
  const inner = b.reduce(b.mul(p, dp), 'add', [3]);
  // Masked positions have weight zero, so nothing flows through them.
  const ds = b.mul(p, b.sub(dp, b.broadcastInDim(inner, shape, [0, 1, 2])));
  const dsScaled = b.mul(ds, b.full(shape, scale, 'f32'));
  const flat = b.reshape(b.convert(dsScaled, q.dtype), flatShape);
  const dq = product(b, flat, byHead(b, k), 3, 2);
  const dk = product(b, flat, grouped(b, q, all), 2, 2);
  const results = [ungrouped(b, dq, all), byHead(b, dk), byHead(b, dv)];
  if (mask) {
    const offset = shape.length - mask.shape.length;
    const axes = shape.map((_, i) => i).filter((i) => i < offset || mask.shape[i - offset] !== shape[i]);
    results.push(b.convert(b.reshape(b.reduce(ds, 'add', axes), mask.shape), mask.dtype));
  }
  return results;
}
