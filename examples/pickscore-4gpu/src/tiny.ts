/** Stand-ins for what the recipe downloads: a Show-o2, its VAE and a PickScore of a few thousand random weights. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import {
  parseShowo2Config,
  showo2ConfigJson,
  showo2ParameterSpecs,
  tokenIdsJson,
  vaeConfigJson,
  vaeParamShapes,
  WAN21_VAE,
  wordTokenizer,
} from '@flow-grpo/showo2-model';
import type { RunFile } from 'flow-grpo';

const WIDTH = 16;
/** Images are 32 × 32: 2 × 2 patches of 2 × 2 latents, each of 8 × 8 pixels. */
const GRID = 2;
const SIDE = 32;

/**
 * Writes the stand-ins to `folder` and returns what to override in a run's file, so that it uses them and takes a minute
 * instead of days. Nothing else changes: four devices, steps, window, guidance and loss are the file's, and so are rewards
 * other than PickScore.
 *
 * @param prompts folder with train_metadata.jsonl and test_metadata.jsonl
 * @throws {ConfigError} when the run is not one of Show-o2.
 */
export async function tinyOverrides(run: RunFile, folder: string, prompts: string): Promise<string[]> {
  if (run.setup.kind !== 'showo2')
    throw new ConfigError(`--tiny stands in for Show-o2, not for a ${run.setup.kind}`);
  const [model, pickscore] = [join(folder, 'show-o2'), join(folder, 'pickscore')];
  await writeShowo2(model, await wordsOf(prompts));
  await writePickScore(pickscore);
  const { reward } = run.setup;
  const setup = {
    model,
    tokenizer: model,
    vae: join(model, 'vae'),
    dataset: prompts,
    reward: reward.pickscore === undefined ? reward : { ...reward, pickscore: { model: pickscore } },
  };
  return [
    ...Object.entries(setup).map(([key, value]) => `setup.${key}=${JSON.stringify(value)}`),
    'epochs=2',
    'evalEvery=2',
    'evalBatchSize=4',
    'saveEvery=1',
    'sampling.evalNumSteps=6',
    'sampling.promptsPerEpoch=4',
    'sampling.samplesPerPrompt=4',
    'sampling.batchSize=8',
    'training.batchSize=8',
    'ema.interval=1', // every one of the few updates counts
  ];
}

/** All words of the prompts. */
async function wordsOf(prompts: string): Promise<string[]> {
  const texts = await Promise.all(
    ['train', 'test'].map((split) => readFile(join(prompts, `${split}_metadata.jsonl`), 'utf8')),
  );
  const lines = texts.flatMap((text) => text.trim().split('\n'));
  const all = lines.map((line) => (JSON.parse(line) as { prompt: string }).prompt.toLowerCase());
  return [...new Set(all.join(' ').match(/\p{L}+|"/gu))];
}

/** A checkpoint folder as `showlab/show-o2-1.5B` with its tokenizer and VAE inside. */
async function writeShowo2(folder: string, words: string[]): Promise<void> {
  const tokenizer = wordTokenizer({ words });
  const heads = { num_attention_heads: 2, num_key_value_heads: 1, intermediate_size: 2 * WIDTH };
  const config = parseShowo2Config({
    hidden_size: WIDTH,
    image_latent_dim: WAN21_VAE.latentChannels,
    image_latent_height: GRID,
    image_latent_width: GRID,
    clip_latent_dim: WIDTH,
    num_diffusion_layers: 2,
    llm_vocab_size: tokenizer.vocabSize,
    position_embedding_grid: [GRID, GRID],
    max_text_len: 12,
    llm: { hidden_size: WIDTH, num_hidden_layers: 2, ...heads },
    siglip: {
      hidden_size: WIDTH,
      num_hidden_layers_used: 1,
      num_attention_heads: 2,
      intermediate_size: WIDTH,
    },
    diffusion_head: { hidden_size: WIDTH, head_dim: WIDTH / 2, ...heads },
    token_ids: tokenIdsJson(tokenizer.tokens),
  });
  const vae = { ...WAN21_VAE, dim: 4, residualBlocks: 1 };
  const specs = Object.entries(showo2ParameterSpecs(config)).map(
    ([name, { shape }]) => [name, shape] as const,
  );
  await saveSafetensors(join(folder, 'model.safetensors'), randomWeights(Object.fromEntries(specs)));
  await saveSafetensors(join(folder, 'vae/model.safetensors'), randomWeights(vaeParamShapes(vae)));
  await writeJson(folder, 'config.json', showo2ConfigJson(config));
  await writeJson(join(folder, 'vae'), 'config.json', vaeConfigJson(vae));
  await writeJson(folder, 'vocabulary.json', { type: 'word', words });
}

/** A checkpoint folder as `yuvalkirstain/PickScore_v1` with its processor inside: a CLIP that reads letters. */
async function writePickScore(folder: string): Promise<void> {
  const letters = Object.fromEntries([...'abcdefghijklmnopqrstuvwxyz"'].map((letter, i) => [letter, i + 2]));
  const [start, end] = ['<s>', '</s>'];
  const vocabulary = { [start]: 0, [end]: 1, ...letters };
  const patch = SIDE / 2;
  const shapes: Record<string, number[]> = {
    logit_scale: [],
    'text_projection.weight': [8, WIDTH],
    'visual_projection.weight': [8, WIDTH],
    'text_model.embeddings.token_embedding.weight': [Object.keys(vocabulary).length, WIDTH],
    'text_model.embeddings.position_embedding.weight': [24, WIDTH],
    'vision_model.embeddings.class_embedding': [WIDTH],
    'vision_model.embeddings.patch_embedding.weight': [WIDTH, 3, patch, patch],
    'vision_model.embeddings.position_embedding.weight': [1 + (SIDE / patch) ** 2, WIDTH],
  };
  const affine = (name: string, size: number[]) => {
    shapes[`${name}.weight`] = size;
    shapes[`${name}.bias`] = size.slice(0, 1);
  };
  for (const norm of [
    'text_model.final_layer_norm',
    'vision_model.pre_layrnorm',
    'vision_model.post_layernorm',
  ])
    affine(norm, [WIDTH]);
  for (const tower of ['text_model', 'vision_model']) {
    const layer = `${tower}.encoder.layers.0`;
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) {
      affine(`${layer}.self_attn.${part}`, [WIDTH, WIDTH]);
    }
    for (const norm of ['layer_norm1', 'layer_norm2']) affine(`${layer}.${norm}`, [WIDTH]);
    affine(`${layer}.mlp.fc1`, [2 * WIDTH, WIDTH]);
    affine(`${layer}.mlp.fc2`, [WIDTH, 2 * WIDTH]);
  }
  await saveSafetensors(join(folder, 'model.safetensors'), randomWeights(shapes));
  const tower = { num_attention_heads: 2, hidden_act: 'gelu' };
  await writeJson(folder, 'config.json', {
    text_config: { ...tower, eos_token_id: vocabulary[end] },
    vision_config: { ...tower, image_size: SIDE },
  });
  await writeJson(folder, 'preprocessor_config.json', { size: SIDE, crop_size: SIDE });
  const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } });
  await writeJson(folder, 'tokenizer.json', {
    added_tokens: [start, end].map((content) => ({ id: vocabulary[content], content, special: true })),
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special(start), { Sequence: { id: 'A', type_id: 0 } }, special(end)],
      pair: [],
      special_tokens: Object.fromEntries(
        [start, end].map((id) => [id, { id, ids: [vocabulary[id]], tokens: [id] }]),
      ),
    },
    decoder: null,
    model: { type: 'BPE', vocab: vocabulary, merges: [] },
  });
}

/** Gains of 1, and everything else uniform within ± 1/√(inputs): the same numbers every time. */
function randomWeights(shapes: Readonly<Record<string, readonly number[]>>) {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const isGain = /(norm[^.]*\.weight|fusion_proj\.0\.weight|gamma)$/.test(name);
      const bound = 1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1));
      const values = Float32Array.from({ length: size }, () => (isGain ? 1 : bound * uniform()));
      return [name, { dtype: 'float32' as const, shape, bytes: new Uint8Array(values.buffer) }];
    }),
  );
}

async function writeJson(folder: string, name: string, json: unknown): Promise<void> {
  makeFolder(folder);
  await writeFile(join(folder, name), `${JSON.stringify(json, null, 2)}\n`);
}
