import * as tf from '@tensorflow/tfjs-core';

/** Where image blocks are: one list a sequence, of [offset, length]; the offset is the time token's index. */
export type ModalityPositions = [offset: number, length: number][][];

/** What is added to the score of a pair that must not attend: the int64 minimum as a float (upstream's choice). */
export const MASKED = -(2 ** 63);

/**
 * Show-o2's omni-attention as allowed pairs, row = query: causal, and full inside every image block.
 * `out[b][q * length + k]` is 1 where query q sees key k.
 */
export function omniAttentionAllowed(length: number, positions: ModalityPositions): Uint8Array[] {
  return positions.map((blocks) => {
    const allowed = new Uint8Array(length * length);
    for (let q = 0; q < length; q++) allowed.fill(1, q * length, q * length + q + 1);
    for (const [offset, size] of blocks) {
      const end = Math.min(offset + size, length);
      for (let q = offset; q < end; q++) allowed.fill(1, q * length + offset, q * length + end);
    }
    return allowed;
  });
}

/** The additive mask [B, 1, length, length] of `omniAttentionAllowed`. */
export function omniAttentionMask(length: number, positions: ModalityPositions): tf.Tensor4D {
  const values = new Float32Array(positions.length * length * length);
  omniAttentionAllowed(length, positions).forEach((allowed, b) => {
    for (let i = 0; i < allowed.length; i++) if (!allowed[i]) values[b * allowed.length + i] = MASKED;
  });
  return tf.tensor4d(values, [positions.length, 1, length, length]);
}
