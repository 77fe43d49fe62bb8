/** For tests: the options of a Show-o2 policy so small that it trains in seconds. */
import { onCpu } from '@flow-grpo/test-support/on-cpu';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { tokenIdsJson } from '../config/config-json';
import { parseShowo2Config } from '../config/schema';
import { initShowo2Params } from '../init';
import type { Showo2PolicyOptions } from '../policy';
import { wordTokenizer } from '../tokenizer/word';

const configOf = (layers: number) =>
  parseShowo2Config({
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
      num_hidden_layers: layers,
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
 *
 * @param layers of the trunk: another one is the same operations again, which XLA compiles again unless layers are stacked
 */
export function tinyShowo2({ layers = 1 } = {}): Showo2PolicyOptions {
  const config = configOf(layers);
  const params = onCpu(() =>
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

/** The mean brightness of images, computed here: a device would compile it for each size of a batch. */
export const brightness = {
  name: 'brightness',
  async score(images: tf.Tensor4D) {
    const [count] = images.shape;
    const values = await images.data<'float32'>();
    const size = values.length / count;
    const mean = (i: number) => values.subarray(i * size, (i + 1) * size).reduce((a, b) => a + b, 0) / size;
    return { scores: Array.from({ length: count }, (_, i) => mean(i)), details: {} };
  },
};
