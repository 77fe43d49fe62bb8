/** The Show-o2 of the benchmark: random weights, small enough for a CPU. */

import { initShowo2Params, parseShowo2Config, tokenIdsJson, wordTokenizer } from '@flow-grpo/showo2-model';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import * as tf from '@tensorflow/tfjs-core';

const WIDTH = 128;
export const config = parseShowo2Config({
  hidden_size: WIDTH,
  image_latent_dim: 16,
  image_latent_height: 4,
  image_latent_width: 4,
  clip_latent_dim: WIDTH,
  num_diffusion_layers: 2,
  llm_vocab_size: 64,
  position_embedding_grid: [4, 4],
  max_text_len: 10,
  llm: {
    hidden_size: WIDTH,
    num_hidden_layers: 5,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 3 * WIDTH,
    rope_theta: 10_000,
  },
  siglip: {
    hidden_size: WIDTH,
    num_hidden_layers_used: 1,
    num_attention_heads: 4,
    intermediate_size: 2 * WIDTH,
  },
  diffusion_head: {
    hidden_size: WIDTH,
    intermediate_size: 3 * WIDTH,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: WIDTH / 4,
  },
  token_ids: tokenIdsJson(wordTokenizer({ words: [] }).tokens),
});

/** Its images are the first three channels of its latents. Needs a backend. */
export const smallShowo2 = () =>
  showo2Policy({
    params: initShowo2Params(config, 1),
    config,
    tokenize: (prompt) => Array.from(prompt, (letter) => 9 + (letter.charCodeAt(0) % 50)),
    decode: (latents) => tf.clipByValue(tf.slice(latents, [0, 0, 0, 0], [-1, -1, -1, 3]), 0, 1),
    latentShape: [8, 8, 16],
    textLength: 10,
  });
