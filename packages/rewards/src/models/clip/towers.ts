import { linear, type Params, param, patchEmbed } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { ClipConfig } from './config';
import { clipEncoder, namedNorm } from './layers';

export interface TowerOutput {
  /** [B, T, D]: of the vision tower before its last norm, of the text tower after it. */
  hidden: tf.Tensor;
  /** [B, D]: the normed class token, or the text at its end token. */
  pooled: tf.Tensor;
  /** [B, P]: the pooled output in the shared space, not normalised. */
  features: tf.Tensor;
}

/** Added to the score of a masked key: exp of it is 0 beside any visible one. */
const MASKED = -1e9;

/** CLIP's vision tower (transformers' names) on normalised pixels [B, H, W, 3]. */
export function clipVision(params: Params, config: ClipConfig['vision'], pixels: tf.Tensor): TowerOutput {
  const patches = patchEmbed(params, 'vision_model.embeddings.patch_embedding', pixels);
  const [batch, , width] = patches.shape as [number, number, number];
  const cls = param(params, 'vision_model.embeddings.class_embedding');
  const first = tf.tile(tf.reshape(cls, [1, 1, width]), [batch, 1, 1]);
  const positions = param(params, 'vision_model.embeddings.position_embedding.weight');
  const tokens = tf.concat([first, patches], 1);
  if (positions.shape[0] !== tokens.shape[1]) {
    throw new Error(
      `Pixels [${pixels.shape}] make ${tokens.shape[1]} tokens, but the position table has ${positions.shape[0]}.`,
    );
  }
  const embedded = namedNorm(params, 'vision_model.pre_layrnorm', tf.add(tokens, positions), config.eps);
  const hidden = clipEncoder(params, 'vision_model.encoder', config, embedded, { causal: false });
  const start = tf.reshape(tf.slice(hidden, [0, 0, 0], [batch, 1, width]), [batch, width]);
  const pooled = namedNorm(params, 'vision_model.post_layernorm', start, config.eps);
  return { hidden, pooled, features: linear(params, 'visual_projection', pooled) };
}

/** Token ids with what the text tower needs to know of them. */
export interface TextInput {
  /** int32 [B, T]. */
  ids: tf.Tensor2D;
  /** int32 [B]: which position of each row is pooled. */
  ends: tf.Tensor1D;
  /** float32 [B, T], 1 where a token is seen and 0 where not; everything is seen when left out. */
  mask?: tf.Tensor2D;
}

/**
 * The position transformers pools: with `eosTokenId` 2 (configurations from before the id was corrected) the
 * first largest id, otherwise the first `eosTokenId`, and 0 when there is none.
 */
export function endPosition(ids: readonly number[], eosTokenId: number): number {
  return Math.max(ids.indexOf(eosTokenId === 2 ? Math.max(...ids) : eosTokenId), 0);
}

/** Rows of token ids, all of one length, as tensors. */
export function textInput(
  rows: readonly (readonly number[])[],
  eosTokenId: number,
  mask?: readonly (readonly number[])[],
): TextInput {
  const length = rows[0]?.length ?? 0;
  if (length === 0 || rows.some((row) => row.length !== length)) {
    throw new Error('Rows of token ids must be there, and all of one length: pad them first.');
  }
  const shape: [number, number] = [rows.length, length];
  return {
    ids: tf.tensor2d(rows.flat(), shape, 'int32'),
    ends: tf.tensor1d(
      rows.map((row) => endPosition(row, eosTokenId)),
      'int32',
    ),
    ...(mask && { mask: tf.tensor2d(mask.flat(), shape, 'float32') }),
  };
}

/** CLIP's text tower (transformers' names): causal, and masked where the input says so. */
export function clipText(params: Params, config: ClipConfig['text'], input: TextInput): TowerOutput {
  const [batch, length] = input.ids.shape;
  const table = param(params, 'text_model.embeddings.token_embedding.weight');
  const width = table.shape[1]!;
  const positions = param(params, 'text_model.embeddings.position_embedding.weight');
  if (length > positions.shape[0]!) {
    throw new Error(`${length} tokens are more than the ${positions.shape[0]} positions of the text tower.`);
  }
  const words = tf.reshape(tf.gather(table, tf.reshape(input.ids, [-1])), [batch, length, width]);
  const embedded = tf.add(words, tf.slice(positions, [0, 0], [length, width]));
  const mask = input.mask && tf.reshape(tf.mul(tf.sub(1, input.mask), MASKED), [batch, 1, 1, length]);
  const encoded = clipEncoder(params, 'text_model.encoder', config, embedded, {
    causal: true,
    ...(mask && { mask }),
  });
  const hidden = namedNorm(params, 'text_model.final_layer_norm', encoded, config.eps);
  const rows = tf.add(tf.range(0, batch * length, length, 'int32'), input.ends);
  const pooled = tf.gather(tf.reshape(hidden, [batch * length, width]), rows);
  return { hidden, pooled, features: linear(params, 'text_projection', pooled) };
}
