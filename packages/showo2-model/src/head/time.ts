import { linear, type Params, silu, timestepFeatures } from '@flow-grpo/nn';
import type * as tf from '@tensorflow/tfjs-core';
import { hasHeadProjection, type Showo2Config } from '../config/config';

/** Times t [N] in 0..1 (0 noise, 1 data) to the vector [N, head width] that modulates the head. */
export function timeEmbedding(params: Params, config: Showo2Config, t: tf.Tensor): tf.Tensor {
  const features = timestepFeatures(t, config.timeFeatures);
  return linear(params, 'time_embed.mlp.2', silu(linear(params, 'time_embed.mlp.0', features)));
}

/** The same vector at the trunk's width, [N, hidden]: what is written into the sequence as the time token. */
export function timeToken(params: Params, config: Showo2Config, embedding: tf.Tensor): tf.Tensor {
  return hasHeadProjection(config) ? linear(params, 'time_embed_proj', embedding) : embedding;
}
