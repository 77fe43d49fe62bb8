/** For tests: the options of a Show-o2 policy so small that it trains in seconds. */
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { tokenIdsJson } from '../config/config-json';
import { parseShowo2Config } from '../config/schema';
import { initShowo2Params } from '../init';
import type { Showo2PolicyOptions } from '../policy';
import { wordTokenizer } from '../tokenizer/word';

const config = parseShowo2Config({
  hidden_size: 32,
  image_latent_dim: 4,
  image_latent_height: 2,
  image_latent_width: 2,
  clip_latent_dim: 32,
  num_diffusion_layers: 1,
  llm_vocab_size: 32,
  position_embedding_grid: [2, 2],
  max_text_len: 6,
  llm: {
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    intermediate_size: 48,
    rope_theta: 10_000,
  },
  siglip: { hidden_size: 32, num_hidden_layers_used: 1, num_attention_heads: 2, intermediate_size: 48 },
  diffusion_head: {
    hidden_size: 32,
    intermediate_size: 48,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 16,
  },
  token_ids: tokenIdsJson(wordTokenizer({ words: [] }).tokens),
});

/**
 * Its images are the first three latent channels. Every parameter is random, the zero-initialised ones too, so that each
 * path changes the result.
 */
export function tinyShowo2(): Showo2PolicyOptions {
  const params = tf.tidy(() =>
    Object.fromEntries(
      Object.entries(initShowo2Params(config, 1)).map(([name, value], i) => [
        name,
        tf.add(value, tf.mul(0.1, random.normal(random.key(i), value.shape))),
      ]),
    ),
  );
  return {
    params,
    config,
    tokenize: (prompt) => Array.from(prompt, (letter) => 9 + (letter.charCodeAt(0) % 20)),
    decode: (latents) =>
      tf.clipByValue(tf.slice(latents, [0, 0, 0, 0], [-1, -1, -1, 3]), 0, 1) as tf.Tensor4D,
    latentShape: [4, 4, 4],
    textLength: 6,
  };
}

/** The mean brightness of images. */
export const brightness = {
  name: 'brightness',
  async score(images: tf.Tensor4D) {
    const means = tf.tidy(() => tf.mean(tf.reshape(images, [images.shape[0], -1]), 1));
    const scores = Array.from(await means.data());
    means.dispose();
    return { scores, details: {} };
  },
};
