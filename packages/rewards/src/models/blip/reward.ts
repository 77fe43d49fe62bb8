import { castToStorage, type Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { linearStack } from '../scorers/linear-stack';
import type { BlipConfig } from './config';
import { blipText } from './text';
import { blipVision } from './vision';

/** Prompts as BERT's ids and mask, int32 and float32 [B, T]. */
export interface BlipPrompts {
  ids: tf.Tensor2D;
  mask: tf.Tensor2D;
}

/** The head on the text's first token, before the scores are centred: [B]. */
export function blipHead(params: Params, text: tf.Tensor): tf.Tensor {
  const [batch, , width] = text.shape as [number, number, number];
  const first = tf.reshape(tf.slice(text, [0, 0, 0], [batch, 1, width]), [batch, width]);
  return tf.squeeze(castToStorage(linearStack(params, 'mlp.layers', first), 'float32'), [1]);
}

/** ImageReward (Xu et al. 2023) of pixels [B, H, H, 3] with their prompts: [B]. */
export function blipReward(
  params: Params,
  config: BlipConfig,
  pixels: tf.Tensor,
  prompts: BlipPrompts,
): tf.Tensor {
  const vision = blipVision(params, config.vision, pixels);
  const text = blipText(params, config.text, prompts.ids, prompts.mask, vision);
  return tf.div(tf.sub(blipHead(params, text), config.mean), config.std);
}
