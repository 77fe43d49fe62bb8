/** What enters and leaves the blocks: times, captions, patches. */
import {
  castLike,
  castToStorage,
  layerNorm,
  linear,
  type Observe,
  type Params,
  param,
  rmsNorm,
  silu,
  timestepFeatures,
} from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import {
  FINAL_NORM_EPS,
  paddedLength,
  TIME_FEATURES,
  TOKEN_MULTIPLE,
  type TransformerConfig,
} from './config';
import {
  CAPTION_EMBEDDER,
  CAPTION_PADDING,
  finalLayerName,
  IMAGE_PADDING,
  imageEmbedder,
  TIME_EMBEDDER,
} from './specs';

/** Times t [B] in 0..1 (0 noise, 1 data) to the vectors [B, width] that modulate the blocks. */
export function timeEmbedding(
  params: Params,
  { timeScale }: TransformerConfig,
  t: tf.Tensor,
  observe?: Observe,
): tf.Tensor {
  const features = timestepFeatures(tf.mul(t, timeScale), TIME_FEATURES);
  observe?.('t_features', features);
  const time = linear(params, `${TIME_EMBEDDER}.2`, silu(linear(params, `${TIME_EMBEDDER}.0`, features)));
  observe?.('t_embedding', time);
  return time;
}

/** Writes the vector called `name` over the rows of x [B, T, dim] where `mask` [B or 1, T, 1] is 0. */
function writePadding(params: Params, name: string, x: tf.Tensor, mask: tf.Tensor): tf.Tensor {
  const padding = tf.reshape(param(params, name), [1, 1, -1]);
  const kept = castLike(mask, x);
  return tf.add(tf.mul(x, kept), tf.mul(padding, tf.sub(1, kept)));
}

/**
 * Patches [B, T, p² C], padded with zeros, to tokens [B, T, dim]. Padding becomes one learned token, which takes part in
 * attention.
 *
 * @param mask [B or 1, T, 1], 1 at image tokens
 */
export function embedPatches(
  params: Params,
  config: TransformerConfig,
  patches: tf.Tensor,
  mask: tf.Tensor,
  observe?: Observe,
): tf.Tensor {
  observe?.('x_patches', patches);
  const embedded = linear(params, imageEmbedder(config), patches);
  observe?.('x_embedded', embedded);
  return writePadding(params, IMAGE_PADDING, embedded, mask);
}

/**
 * States of the text encoder [B, L, width] with `lengths` int32 [B] real rows to tokens [B, T, dim], T = L rounded up to 32.
 * Rows behind an item's own become one learned token; those behind its padded length only fill up the batch.
 *
 * @returns the tokens, and int32 [B] lengths with padding
 */
export function embedCaptions(
  params: Params,
  config: TransformerConfig,
  states: tf.Tensor,
  lengths: tf.Tensor,
  observe?: Observe,
): { tokens: tf.Tensor; lengths: tf.Tensor } {
  const [batch, given] = states.shape as [number, number, number];
  const length = paddedLength(given);
  const padded = tf.pad(states, [
    [0, 0],
    [0, length - given],
    [0, 0],
  ]);
  const normed = rmsNorm(padded, param(params, `${CAPTION_EMBEDDER}.0.weight`), config.normEps);
  observe?.('cap_normed', normed);
  const embedded = linear(params, `${CAPTION_EMBEDDER}.1`, normed);
  observe?.('cap_embedded', embedded);
  const isReal = tf.less(tf.range(0, length, 1, 'int32'), tf.reshape(lengths, [batch, 1]));
  const mask = tf.reshape(tf.cast(isReal, 'float32'), [batch, length, 1]);
  const tokens = writePadding(params, CAPTION_PADDING, embedded, mask);
  const multiple = tf.scalar(TOKEN_MULTIPLE, 'int32');
  const groups = tf.floorDiv(tf.add(lengths, tf.scalar(TOKEN_MULTIPLE - 1, 'int32')), multiple);
  return { tokens, lengths: tf.mul(groups, multiple) };
}

/** The final layer: tokens [B, T, dim] to patches [B, T, p² C], float32 so that guidance loses no digits. */
export function finalLayer(
  params: Params,
  config: TransformerConfig,
  x: tf.Tensor,
  time: tf.Tensor,
  observe?: Observe,
): tf.Tensor {
  const name = finalLayerName(config);
  const scale = tf.add(linear(params, `${name}.adaLN_modulation.1`, silu(time)), 1);
  const normed = layerNorm(x, undefined, undefined, FINAL_NORM_EPS);
  observe?.('final_normed', normed);
  const patches = linear(params, `${name}.linear`, tf.mul(normed, tf.expandDims(scale, 1)));
  observe?.('final_tokens', patches);
  return castToStorage(patches, 'float32');
}
