/** Checkpoint folders in Hugging Face's layout around tiny weights, for tests of the whole way from files to scores. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import type { BlipConfig } from '../blip/config';
import type { OpenClipConfig } from '../clip/open-clip';

/** Letters to ids from `first` on, each row between `start` and `end`. */
export function letterTokenizer(start: number, end: number, first = 3): object {
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  const special = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const token = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(start, '<s>'), special(end, '</s>')],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [token('<s>'), text('A'), token('</s>')],
      pair: [token('<s>'), text('A'), text('B'), token('</s>')],
      special_tokens: {
        '<s>': { id: '<s>', ids: [start], tokens: ['<s>'] },
        '</s>': { id: '</s>', ids: [end], tokens: ['</s>'] },
      },
    },
    decoder: null,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      vocab: Object.fromEntries([
        ...[...letters].map((letter, i) => [letter, first + i] as const),
        ['<s>', start],
        ['</s>', end],
      ]),
      merges: [],
    },
  };
}

/** Writes `json` to folder/name. */
export function writeJson(folder: string, name: string, json: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(json));
}

const dirOf = (prefix: string) => fixtureCases(prefix)[0]!.dir;

/** Writes the weights of a parity case to folder/model.safetensors. */
async function writeWeights(folder: string, dir: string, tensors: string): Promise<void> {
  const weights = Object.entries(readTensors(dir, tensors))
    .filter(([name]) => name.startsWith('weights.') && !name.endsWith('position_ids'))
    .map(([name, tensor]) => [name.slice(8), tf.tensor(numbers(tensor), tensor.shape)] as const);
  await saveSafetensors(join(folder, 'model.safetensors'), Object.fromEntries(weights));
  tf.dispose(weights.map(([, tensor]) => tensor));
}

export interface TinyClip {
  config: { vision_config: { image_size: number }; projection_dim: number };
  tokens: { start: number; end: number };
}

/** A transformers CLIPModel with its tokenizer and processor. */
export async function writeTinyClip(folder: string): Promise<TinyClip> {
  const dir = dirOf('rewards-clip');
  const clip = readJson<TinyClip>(dir, 'gelu-eos.json');
  const size = clip.config.vision_config.image_size;
  await writeWeights(folder, dir, 'gelu-eos.safetensors');
  writeJson(folder, 'config.json', clip.config);
  writeJson(folder, 'preprocessor_config.json', { size, crop_size: size });
  writeJson(folder, 'tokenizer.json', letterTokenizer(clip.tokens.start, clip.tokens.end));
  return clip;
}

/** HPSv2's open_clip model, with a tokenizer beside it. */
export async function writeTinyHps(folder: string): Promise<OpenClipConfig> {
  const dir = dirOf('rewards-hps');
  const { config, ids } = readJson<{ config: OpenClipConfig; ids: { start: number; end: number } }>(
    dir,
    'hps.json',
  );
  await writeWeights(folder, dir, 'hps.safetensors');
  writeJson(folder, 'tokenizer.json', letterTokenizer(ids.start, ids.end));
  return config;
}

/** ImageReward's checkpoint, with a tokenizer beside it. */
export async function writeTinyBlip(folder: string): Promise<BlipConfig> {
  const dir = dirOf('rewards-imagereward');
  const { config, ids } = readJson<{
    config: {
      vision: { image_size: number; num_heads: number; norm_eps: number };
      text: { num_attention_heads: number; layer_norm_eps: number };
      mean: number;
      std: number;
    };
    ids: { cls: number; sep: number };
  }>(dir, 'imagereward.json');
  await writeWeights(folder, dir, 'imagereward.safetensors');
  writeJson(folder, 'tokenizer.json', letterTokenizer(ids.cls, ids.sep, 10));
  const { vision, text, mean, std } = config;
  return {
    vision: { imageSize: vision.image_size, heads: vision.num_heads, eps: vision.norm_eps },
    text: { heads: text.num_attention_heads, eps: text.layer_norm_eps },
    mean,
    std,
  };
}

/** The aesthetic predictor's head as a file, with one layer over features of this width. */
export async function writeTinyHead(file: string, width: number): Promise<void> {
  const layer = {
    'layers.0.weight': tf.randomNormal([1, width], 0, 1, 'float32', 5),
    'layers.0.bias': tf.tensor1d([5]),
  };
  await saveSafetensors(file, layer);
  tf.dispose(layer);
}
