import * as tf from '@tensorflow/tfjs-core';
import type { ModalityPositions } from './mask';

/**
 * Writes time tokens and image embeddings over the text embeddings of their slots, as upstream's loop does: row i's
 * slot j takes entry i * slots + j. An idle slot (0, 0) is not skipped: its time token lands on position 0 of its row.
 *
 * text [B, L, D], times [B * slots, D] or undefined without time tokens, images [B * slots, n, D] → [B, L, D].
 */
export function writeModalities(
  text: tf.Tensor,
  times: tf.Tensor | undefined,
  images: tf.Tensor,
  positions: ModalityPositions,
): tf.Tensor {
  const [batch, length, width] = text.shape as [number, number, number];
  const slots = positions[0]?.length ?? 0;
  const patches = images.shape[1]!;
  if (images.shape[0] !== batch * slots) {
    throw new Error(`${images.shape[0]} images for ${batch} sequences of ${slots} image slots.`);
  }
  const firstTime = batch * length;
  const firstImage = firstTime + (times ? batch * slots : 0);
  const source = Int32Array.from({ length: batch * length }, (_, i) => i);
  positions.forEach((blocks, row) => {
    blocks.forEach(([offset, size], slot) => {
      const entry = row * slots + slot;
      const lead = times ? 1 : 0;
      if (offset + size > length || size - lead > patches) {
        throw new Error(
          `Image block [${offset}, ${size}] does not fit a sequence of ${length} with ${patches} patches.`,
        );
      }
      if (times) source[row * length + offset] = firstTime + entry;
      for (let k = 0; k < size - lead; k++) {
        source[row * length + offset + lead + k] = firstImage + entry * patches + k;
      }
    });
  });
  const rows = [text, ...(times ? [times] : []), images].map((x) => tf.reshape(x, [-1, width]));
  const gathered = tf.gather(tf.concat(rows, 0), tf.tensor1d(source, 'int32'));
  return tf.reshape(gathered, [batch, length, width]);
}

/** For every token the slot whose time modulates it, or `slots total` for text, int32 [B * L]. */
export function modulationRows(length: number, positions: ModalityPositions): tf.Tensor1D {
  const slots = positions[0]?.length ?? 0;
  const rows = new Int32Array(positions.length * length).fill(positions.length * slots);
  positions.forEach((blocks, row) => {
    blocks.forEach(([offset, size], slot) => {
      rows.fill(row * slots + slot, row * length + offset, row * length + offset + size);
    });
  });
  return tf.tensor1d(rows, 'int32');
}

/** The image tokens of every non-idle slot in order, [images, n, D], without time tokens; a row ends at its first idle slot. */
export function takeImages(x: tf.Tensor, positions: ModalityPositions, timeToken: boolean): tf.Tensor {
  const [, length, width] = x.shape as [number, number, number];
  const index: number[] = [];
  let images = 0;
  positions.forEach((blocks, row) => {
    for (const [offset, size] of blocks) {
      if (size === 0) break;
      images++;
      for (let k = timeToken ? 1 : 0; k < size; k++) index.push(row * length + offset + k);
    }
  });
  const flat = tf.reshape(x, [-1, width]);
  return tf.reshape(tf.gather(flat, tf.tensor1d(index, 'int32')), [
    images,
    index.length / Math.max(images, 1),
    width,
  ]);
}
