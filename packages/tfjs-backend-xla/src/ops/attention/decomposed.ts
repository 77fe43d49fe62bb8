/** Attention as matrix products and a softmax in float32, for every platform, storage and mask. */
import { type Block, hlo, type Value } from '../../stablehlo';

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
function grouped(b: Block, x: Value, { batch, queries, heads, kvHeads, size }: Sizes): Value {
  const rows = (heads / kvHeads) * queries;
  return hlo.reshape(b, hlo.transpose(b, x, [0, 2, 1, 3]), [batch, kvHeads, rows, size]);
}

function ungrouped(b: Block, x: Value, { batch, queries, heads, size }: Sizes): Value {
  return hlo.transpose(b, hlo.reshape(b, x, [batch, heads, queries, size]), [0, 2, 1, 3]);
}

const byHead = (b: Block, x: Value): Value => hlo.transpose(b, x, [0, 2, 1, 3]);

/** Products over the last two axes, batched over the first two. */
const product = (b: Block, x: Value, y: Value, lhs: number, rhs: number, result = x.dtype): Value =>
  hlo.dot(b, x, y, {
    lhsBatch: [0, 1],
    rhsBatch: [0, 1],
    lhsContract: [lhs],
    rhsContract: [rhs],
    result,
    precision: x.dtype === 'f32' ? 'HIGHEST' : 'DEFAULT',
  });

/** i1 [B, N, T, S]: which keys a query sees; undefined when all. */
function visible(b: Block, values: AttentionValues, causal: boolean): Value | undefined {
  const { batch, heads, queries, keys } = sizes(values);
  const shape = [batch, heads, queries, keys];
  let seen: Value | undefined;
  if (causal) seen = hlo.compare(b, 'LE', hlo.iota(b, shape, 3, 'i32'), hlo.iota(b, shape, 2, 'i32'));
  if (values.kvLengths) {
    const limit = hlo.broadcastInDim(b, values.kvLengths, shape, [0]);
    const real = hlo.compare(b, 'LT', hlo.iota(b, shape, 3, 'i32'), limit);
    seen = seen ? hlo.and(b, seen, real) : real;
  }
  return seen;
}

/** Softmax weights, f32 [B, N, T, S]. */
function weights(b: Block, values: AttentionValues, { scale, causal }: AttentionAttrs): Value {
  const all = sizes(values);
  const shape = [all.batch, all.heads, all.queries, all.keys];
  const dots = product(b, grouped(b, values.q, all), byHead(b, values.k), 3, 3, 'f32');
  let scores = hlo.mul(b, hlo.reshape(b, dots, shape), hlo.full(b, shape, scale, 'f32'));
  if (values.mask) scores = hlo.add(b, scores, hlo.broadcastTo(b, hlo.convert(b, values.mask, 'f32'), shape));
  const seen = visible(b, values, causal);
  if (seen) scores = hlo.select(b, seen, scores, hlo.full(b, shape, MASKED, 'f32'));
  const wide = (x: Value) => hlo.broadcastInDim(b, x, shape, [0, 1, 2]);
  const exponentials = hlo.exp(b, hlo.sub(b, scores, wide(hlo.reduce(b, scores, 'maximum', [3]))));
  return hlo.div(b, exponentials, wide(hlo.reduce(b, exponentials, 'add', [3])));
}

/** x with zeros at queries beyond their row's length; x is [B, T, N, D]. */
export function realQueries(b: Block, x: Value, qLengths: Value | undefined): Value {
  if (!qLengths) return x;
  const real = hlo.compare(
    b,
    'LT',
    hlo.iota(b, x.shape, 1, 'i32'),
    hlo.broadcastInDim(b, qLengths, x.shape, [0]),
  );
  return hlo.select(b, real, x, hlo.full(b, x.shape, 0, x.dtype));
}

/** The output [B, T, N, D] and the weights f32 [B, N, T, S], which the backward pass takes. */
export function decomposedForward(b: Block, values: AttentionValues, attrs: AttentionAttrs): [Value, Value] {
  const all = sizes(values);
  const p = weights(b, values, attrs);
  const rows = (all.heads / all.kvHeads) * all.queries;
  const flat = hlo.reshape(b, hlo.convert(b, p, values.v.dtype), [all.batch, all.kvHeads, rows, all.keys]);
  const out = product(b, flat, byHead(b, values.v), 3, 2);
  return [realQueries(b, ungrouped(b, out, all), values.qLengths), p];
}

/** Gradients of q, k, v and, where there is one, the mask. */
export function decomposedBackward(
  b: Block,
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
  const dOut = grouped(b, realQueries(b, hlo.convert(b, saved.dOutput, v.dtype), values.qLengths), all);
  const dv = product(b, hlo.reshape(b, hlo.convert(b, p, v.dtype), flatShape), dOut, 2, 2);
  const dp = hlo.reshape(b, product(b, dOut, byHead(b, v), 3, 3, 'f32'), shape);
  const inner = hlo.reduce(b, hlo.mul(b, p, dp), 'add', [3]);
  // Masked positions have weight zero, so nothing flows through them.
  const ds = hlo.mul(b, p, hlo.sub(b, dp, hlo.broadcastInDim(b, inner, shape, [0, 1, 2])));
  const dsScaled = hlo.mul(b, ds, hlo.full(b, shape, scale, 'f32'));
  const flat = hlo.reshape(b, hlo.convert(b, dsScaled, q.dtype), flatShape);
  const dq = product(b, flat, byHead(b, k), 3, 2);
  const dk = product(b, flat, grouped(b, q, all), 2, 2);
  const results = [ungrouped(b, dq, all), byHead(b, dk), byHead(b, dv)];
  if (mask) {
    const offset = shape.length - mask.shape.length;
    const axes = shape.map((_, i) => i).filter((i) => i < offset || mask.shape[i - offset] !== shape[i]);
    results.push(hlo.convert(b, hlo.reshape(b, hlo.reduce(b, ds, 'add', axes), mask.shape), mask.dtype));
  }
  return results;
}
