/** For tests: a Show-o2 of random weights as a folder on disk, as one downloads it, with prompts beside it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  initShowo2Params,
  initVaeParams,
  parseShowo2Config,
  tokenIdsJson,
  WAN21_VAE,
  wordTokenizer,
} from '@flow-grpo/showo2-model';
import { saveShowo2 } from '@flow-grpo/showo2-model/node';
import { onCpu } from '@flow-grpo/test-support/on-cpu';
import * as tf from '@tensorflow/tfjs-core';

const WORDS = ['a', 'red', 'blue', 'circle', 'square'];
const WIDTH = 16;

/** Writes `<folder>/model` and `<folder>/prompts/{train,test}.txt`: images are 32 × 32. Needs a backend. */
export async function writeTinyShowo2(folder: string): Promise<{ model: string; dataset: string }> {
  const tokenizer = wordTokenizer({ words: WORDS });
  const config = parseShowo2Config({
    hidden_size: WIDTH,
    image_latent_dim: WAN21_VAE.latentChannels,
    image_latent_height: 2,
    image_latent_width: 2,
    clip_latent_dim: WIDTH,
    num_diffusion_layers: 1,
    llm_vocab_size: tokenizer.vocabSize,
    position_embedding_grid: [2, 2],
    max_text_len: 4,
    llm: {
      hidden_size: WIDTH,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      intermediate_size: 24,
      rope_theta: 10_000,
    },
    siglip: { hidden_size: WIDTH, num_hidden_layers_used: 1, num_attention_heads: 2, intermediate_size: 24 },
    diffusion_head: {
      hidden_size: WIDTH,
      intermediate_size: 24,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      head_dim: 8,
    },
    token_ids: tokenIdsJson(tokenizer.tokens),
  });
  const { latentChannels } = WAN21_VAE;
  const vae = {
    ...WAN21_VAE,
    dim: 4,
    residualBlocks: 1,
    latentMean: new Array<number>(latentChannels).fill(0),
    latentStd: new Array<number>(latentChannels).fill(1),
  };
  const [model, dataset] = [join(folder, 'model'), join(folder, 'prompts')];
  const params = onCpu(() => initShowo2Params(config, 1));
  const vaeParams = onCpu(() => initVaeParams(vae, 2));
  await saveShowo2(
    model,
    { config, params, vae: { config: vae, params: vaeParams } },
    { vocabulary: { type: 'word', words: WORDS } },
  );
  tf.dispose([params, vaeParams]);
  await mkdir(dataset, { recursive: true });
  await writeFile(join(dataset, 'train.txt'), 'a red circle\na blue circle\na red square\na blue square\n');
  await writeFile(join(dataset, 'test.txt'), 'a red square\na blue circle\n');
  return { model, dataset };
}
