/** Scaled dot-product attention with grouped key/value heads. */
import * as tf from '@tensorflow/tfjs-core';
import { ATTENTION, ATTENTION_GRAD, ATTENTION_INFERENCE, hasKernel, runKernel } from './kernels';
import { customVjp, isFloat, isRecording } from './vjp';

export interface AttentionOptions {
  /** Added to the scores before the softmax; broadcastable to [B, N, T, S]. */
  mask?: tf.Tensor;
  /** int32 [B]: keys and values at positions from this on are not seen. At least 1. */
  kvLengths?: tf.Tensor;
  /** int32 [B]: outputs of queries at positions from this on are zero. */
  qLengths?: tf.Tensor;
  /** Query t sees keys s ≤ t (both counted from the start). */
  causal?: boolean;
  /** Factor of the scores; 1/sqrt(D) by default. */
  scale?: number;
}

/** Score of a masked position: finite, so that rows without any visible key stay finite too. */
const MASKED = -0.7 * 3.4028234663852886e38;

/**
 * softmax(scale · q kᵀ + mask) v for q [B, T, N, D] and k, v [B, S, K, D]; N must be a multiple of K, and
 * query head n uses key/value head ⌊n·K/N⌋.
 *
 * @returns [B, T, N, D]. Differentiable in q, k, v and mask.
 * @throws when shapes do not fit.
 */
export function scaledDotProductAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  options: AttentionOptions = {},
): tf.Tensor4D {
  checkShapes(q, k, v, options);
  return hasKernel(ATTENTION) ? kernelAttention(q, k, v, options) : decomposedAttention(q, k, v, options);
}

/** By the backend's own kernels, which keep what they need for the gradient. */
function kernelAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  { mask, kvLengths, qLengths, causal = false, scale = 1 / Math.sqrt(q.shape[3]!) }: AttentionOptions,
): tf.Tensor4D {
  const attrs = { scale, causal };
  const lengths = { ...(kvLengths && { kvLengths }), ...(qLengths && { qLengths }) };
  const inputs = { q, k, v, ...(mask && { mask }) };
  if (!isRecording()) return runKernel(ATTENTION_INFERENCE, { ...inputs, ...lengths }, attrs) as tf.Tensor4D;
  const names = Object.keys(inputs);
  const sources = Object.values(inputs);
  // An integer mask takes no gradient.
  const differentiable = sources.filter(isFloat);
  return customVjp(
    differentiable,
    (save) => {
      const [output, saved] = runKernel<tf.Tensor[]>(ATTENTION, { ...inputs, ...lengths }, attrs);
      save([...sources, ...Object.values(lengths), output!, saved!]);
      return [output!];
    },
    ([dy], kept) => {
      const again = Object.fromEntries(
        [...names, ...Object.keys(lengths)].map((name, i) => [name, kept[i]!]),
      );
      const [output, saved] = kept.slice(-2);
      const all = { ...again, output: output!, saved: saved!, dy: dy! };
      return runKernel<tf.Tensor[]>(ATTENTION_GRAD, all, attrs).slice(0, differentiable.length);
    },
  )[0] as tf.Tensor4D;
}

function decomposedAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  { mask, kvLengths, qLengths, causal = false, scale }: AttentionOptions,
): tf.Tensor4D {
  const [batch, queries, heads, size] = q.shape as [number, number, number, number];
  const [, keys, kvHeads] = k.shape as [number, number, number, number];
  const groups = heads / kvHeads;
  return tf.tidy(() => {
    // Queries of one key/value head side by side: one matrix product per key/value head.
    const scaled = tf.mul(q, scale ?? 1 / Math.sqrt(size));
    const qs = tf.reshape(tf.transpose(scaled, [0, 2, 1, 3]), [batch, kvHeads, groups * queries, size]);
    const ks = tf.transpose(k, [0, 2, 1, 3]);
    const vs = tf.transpose(v, [0, 2, 1, 3]);
    let scores = tf.reshape(tf.matMul(qs, ks, false, true), [batch, heads, queries, keys]);
    if (mask) scores = tf.add(scores, mask);
    const visible = visibility(batch, queries, keys, kvLengths, causal);
    if (visible) scores = tf.where(visible, scores, tf.fill(scores.shape, MASKED));
    const weights = tf.reshape(tf.softmax(scores), [batch, kvHeads, groups * queries, keys]);
    const out = tf.transpose(tf.reshape(tf.matMul(weights, vs), [batch, heads, queries, size]), [0, 2, 1, 3]);
    if (!qLengths) return out as tf.Tensor4D;
    const real = tf.less(tf.range(0, queries, 1, 'int32'), tf.reshape(qLengths, [batch, 1]));
    return tf.mul(out, tf.reshape(tf.cast(real, 'float32'), [batch, queries, 1, 1])) as tf.Tensor4D;
  });
}

/** Bool [B or 1, 1, T, S], true where a query may see a key; undefined when everything is visible. */
function visibility(
  batch: number,
  queries: number,
  keys: number,
  kvLengths: tf.Tensor | undefined,
  causal: boolean,
): tf.Tensor | undefined {
  const position = () => tf.reshape(tf.range(0, keys, 1, 'int32'), [1, 1, 1, keys]);
  let visible: tf.Tensor | undefined;
  if (causal) {
    visible = tf.lessEqual(position(), tf.reshape(tf.range(0, queries, 1, 'int32'), [1, 1, queries, 1]));
  }
  if (kvLengths) {
    const real = tf.less(position(), tf.reshape(kvLengths, [batch, 1, 1, 1]));
    visible = visible ? tf.logicalAnd(visible, real) : real;
  }
  return visible;
}

function checkShapes(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, options: AttentionOptions): void {
  for (const [name, x] of Object.entries({ q, k, v })) {
    if (x.rank !== 4)
      throw new Error(`attention: ${name} must be [batch, length, heads, size], not [${x.shape}]`);
    if (x.dtype !== 'float32') throw new Error(`attention: ${name} must be float32, not ${x.dtype}`);
  }
  const [batch, , heads, size] = q.shape as number[];
  const [kBatch, , kvHeads, kSize] = k.shape as number[];
  if (kBatch !== batch) throw new Error(`attention: q has batch ${batch}, k has ${kBatch}`);
  if (kSize !== size) throw new Error(`attention: q has head size ${size}, k has ${kSize}`);
  if (k.shape.some((d, i) => d !== v.shape[i])) {
    throw new Error(`attention: k is [${k.shape}] and v is [${v.shape}], they must agree`);
  }
  if (heads! % kvHeads! !== 0) {
    throw new Error(`attention: ${heads} query heads are not a multiple of ${kvHeads} key/value heads`);
  }
  for (const name of ['kvLengths', 'qLengths'] as const) {
    const lengths = options[name];
    if (!lengths) continue;
    if (lengths.dtype !== 'int32' || lengths.rank !== 1 || lengths.shape[0] !== batch) {
      throw new Error(`attention: ${name} must be int32 [${batch}], not ${lengths.dtype} [${lengths.shape}]`);
    }
  }
  const { mask } = options;
  if (mask) {
    const full = [batch, heads, q.shape[1], k.shape[1]] as number[];
    const offset = full.length - mask.rank;
    if (offset < 0 || mask.shape.some((d, i) => d !== 1 && d !== full[i + offset])) {
      throw new Error(`attention: mask [${mask.shape}] does not broadcast to [${full}]`);
    }
  }
}
