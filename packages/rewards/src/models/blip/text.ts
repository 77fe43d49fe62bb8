import { gelu, linear, type Params, param } from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { countBlocks, joinHeads, namedNorm, splitHeads } from '../clip/layers';
import type { BlipConfig } from './config';

const ROOT = 'blip.text_encoder';

/** BERT adds this to the score of a padded key: small enough to vanish, yet finite. */
const MASKED = -10000;

/** One attention of BERT with its output projection, residual and norm; keys and values come from `source`. */
function attention(
  params: Params,
  name: string,
  config: BlipConfig['text'],
  x: tf.Tensor,
  source: tf.Tensor,
  mask?: tf.Tensor,
): tf.Tensor {
  const project = (part: string, from: tf.Tensor) =>
    splitHeads(linear(params, `${name}.self.${part}`, from), config.heads);
  const attended = scaledDotProductAttention(
    project('query', x),
    project('key', source),
    project('value', source),
    mask ? { mask } : {},
  );
  const y = tf.add(linear(params, `${name}.output.dense`, joinHeads(attended)), x);
  return namedNorm(params, `${name}.output.LayerNorm`, y, config.eps);
}

/**
 * ImageReward's text encoder: BERT whose layers also look at the vision tokens.
 *
 * @param ids int32 [B, T]
 * @param mask float32 [B, T], 0 at padding
 * @param vision [B, S, Dv]
 * @returns hidden states [B, T, D]
 */
export function blipText(
  params: Params,
  config: BlipConfig['text'],
  ids: tf.Tensor2D,
  mask: tf.Tensor2D,
  vision: tf.Tensor,
): tf.Tensor {
  const [batch, length] = ids.shape;
  const words = param(params, `${ROOT}.embeddings.word_embeddings.weight`);
  const positions = param(params, `${ROOT}.embeddings.position_embeddings.weight`);
  const width = words.shape[1]!;
  if (length > positions.shape[0]!) {
    throw new Error(
      `${length} tokens are more than the ${positions.shape[0]} positions of the text encoder.`,
    );
  }
  const looked = tf.reshape(tf.gather(words, tf.reshape(ids, [-1])), [batch, length, width]);
  const embedded = tf.add(looked, tf.slice(positions, [0, 0], [length, width]));
  const hidden = tf.reshape(tf.mul(tf.sub(1, mask), MASKED), [batch, 1, 1, length]);
  let x = namedNorm(params, `${ROOT}.embeddings.LayerNorm`, embedded, config.eps);
  const depth = countBlocks(params, `${ROOT}.encoder.layer`);
  for (let i = 0; i < depth; i++) {
    const layer = `${ROOT}.encoder.layer.${i}`;
    x = attention(params, `${layer}.attention`, config, x, x, hidden);
    x = attention(params, `${layer}.crossattention`, config, x, vision);
    const wide = gelu(linear(params, `${layer}.intermediate.dense`, x));
    const y = tf.add(linear(params, `${layer}.output.dense`, wide), x);
    x = namedNorm(params, `${layer}.output.LayerNorm`, y, config.eps);
  }
  return x;
}
