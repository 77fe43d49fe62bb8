import { expectClose } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { scaledDotProductAttention } from './attention';
import * as random from './random/random';
import { onPlainBackends } from './testing/backends';

const [B, T, S, N, K, D] = [2, 3, 4, 4, 2, 5];
const draw = (seed: number, shape: number[]) => random.normal(random.key(seed), shape);

/** The definition, one number after the other. */
function byHand(
  q: number[][][][],
  k: number[][][][],
  v: number[][][][],
  score: (dot: number, at: { b: number; n: number; t: number; s: number }) => number,
): number[] {
  const out: number[] = [];
  for (let b = 0; b < B; b++)
    for (let t = 0; t < T; t++)
      for (let n = 0; n < N; n++) {
        const head = Math.floor((n * K) / N);
        const weights = Array.from({ length: S }, (_, s) => {
          const dot = q[b]![t]![n]!.reduce((sum, x, d) => sum + x * k[b]![s]![head]![d]!, 0);
          return Math.exp(score(dot / Math.sqrt(D), { b, n, t, s }));
        });
        const total = weights.reduce((a, x) => a + x);
        for (let d = 0; d < D; d++)
          out.push(weights.reduce((sum, w, s) => sum + (w / total) * v[b]![s]![head]![d]!, 0));
      }
  return out;
}

onPlainBackends('scaledDotProductAttention', () => {
  const inputs = () => {
    const [q, k, v] = [draw(1, [B, T, N, D]), draw(2, [B, S, K, D]), draw(3, [B, S, K, D])] as const;
    return { q, k, v, arrays: [q, k, v].map((x) => x.arraySync() as number[][][][]) };
  };

  it('is the definition, with grouped heads, a mask, lengths and order', () => {
    const { q, k, v, arrays } = inputs();
    const [qs, ks, vs] = arrays as [number[][][][], number[][][][], number[][][][]];
    const mask = draw(4, [B, 1, T, S]);
    const masks = mask.arraySync() as number[][][][];
    expectClose(
      scaledDotProductAttention(q, k, v).dataSync(),
      byHand(qs, ks, vs, (dot) => dot),
      1e-5,
    );
    expectClose(
      scaledDotProductAttention(q, k, v, { mask }).dataSync(),
      byHand(qs, ks, vs, (dot, { b, t, s }) => dot + masks[b]![0]![t]![s]!),
      1e-5,
    );
    const kvLengths = [2, 4];
    expectClose(
      scaledDotProductAttention(q, k, v, {
        causal: true,
        kvLengths: tf.tensor1d(kvLengths, 'int32'),
      }).dataSync(),
      byHand(qs, ks, vs, (dot, { b, t, s }) =>
        s <= t && s < kvLengths[b]! ? dot : Number.NEGATIVE_INFINITY,
      ),
      1e-5,
    );
    const cut = scaledDotProductAttention(q, k, v, { qLengths: tf.tensor1d([1, 3], 'int32') });
    expect([...tf.abs(tf.slice(cut, [0, 1], [1, 2])).dataSync()].every((x) => x === 0)).toBe(true);
  });

  it('names what does not fit', () => {
    const { q, k, v } = inputs();
    expect(() => scaledDotProductAttention(draw(1, [B, T, 3, D]), k, v)).toThrow(/3 query heads/);
    expect(() => scaledDotProductAttention(q, k, draw(1, [B, S, K, 2]))).toThrow(/must agree/);
    expect(() => scaledDotProductAttention(q, k, v, { mask: tf.zeros([7, S]) })).toThrow(
      /does not broadcast/,
    );
  });
});
