/** A whole Show-o2 of a few kilobytes, and a folder with it. */
import { onCpu } from '@flow-grpo/test-support/on-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { initShowo2Params, initVaeParams, parseShowo2Config, WAN21_VAE, wordTokenizer } from '../src/index';
import { saveShowo2 } from '../src/node';

export const words = ['a', 'red', 'circle', 'what', 'is', 'this', '?'];
const tokenizer = wordTokenizer({ words });
const parsed = parseShowo2Config({
  hidden_size: 16,
  image_latent_dim: 4,
  image_latent_height: 2,
  image_latent_width: 2,
  clip_latent_dim: 12,
  num_diffusion_layers: 2,
  llm_vocab_size: tokenizer.vocabSize,
  position_embedding_grid: [2, 2],
  time_embed: { frequency_embedding_size: 16 },
  llm: {
    hidden_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    intermediate_size: 24,
  },
  siglip: { hidden_size: 12, num_hidden_layers_used: 2, num_attention_heads: 2, intermediate_size: 16 },
  diffusion_head: {
    hidden_size: 16,
    intermediate_size: 24,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
  },
});
/** With token ids that the small vocabulary holds. */
export const config = { ...parsed, tokens: tokenizer.tokens };
export const vaeConfig = {
  ...WAN21_VAE,
  dim: 4,
  latentChannels: 4,
  multipliers: [1, 2],
  residualBlocks: 1,
  temporalDownsample: [true],
  latentMean: [0, 0, 0, 0],
  latentStd: [1, 1, 1, 1],
};

/** Writes it with random weights. Upstream's output starts at zero; noise on every weight makes all paths matter. */
export async function writeTinyModel(
  folder: string,
  options: Parameters<typeof saveShowo2>[2] = {},
): Promise<void> {
  const params = onCpu(() =>
    Object.fromEntries(
      Object.entries(initShowo2Params(config, 3)).map(([name, x], i) => [
        name,
        tf.add(x, tf.randomNormal(x.shape, 0, 0.05, 'float32', i + 1)),
      ]),
    ),
  );
  const vae = { config: vaeConfig, params: onCpu(() => initVaeParams(vaeConfig, 4)) };
  await saveShowo2(folder, { config, params, vae }, { vocabulary: { type: 'word', words }, ...options });
}
