import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkKeys, loadParams, shapesOf } from '@flow-grpo/checkpoint-io';
import type { Params } from '@flow-grpo/nn';
import { cast, type FloatStorage } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { parseShowo2Config } from '../config/schema';
import { parseShowo2Yaml } from '../config/yaml';
import { parameterSpecs } from '../init';
import { loadQwenTokenizer } from '../tokenizer/qwen';
import type { TextTokenizer } from '../tokenizer/tokenizer';
import { parseWordVocabulary, wordTokenizer } from '../tokenizer/word';
import { parseVaeConfig, vaeParamShapes, WAN21_VAE, type WanVaeConfig } from '../wan-vae';

/** What a model consists of. */
export interface Showo2Parts {
  config: Showo2Config;
  params: Params;
  tokenizer: TextTokenizer;
  vae: { config: WanVaeConfig; params: Params };
}

export interface LoadShowo2Options {
  /** The configuration, or a YAML or JSON file with it; the folder's config.json by default. */
  config?: Showo2Config | string;
  /** A tokenizer, or the folder of one (tokenizer.json, or vocabulary.json); the model's folder by default. */
  tokenizer?: TextTokenizer | string;
  /** The VAE's file or folder; `vae/` or `Wan2.1_VAE.pth` in the model's folder by default. */
  vae?: string;
  /** How weights are held on the device; 'float32' by default. The VAE stays float32. */
  storage?: FloatStorage;
  onProgress?: (progress: LoadingProgress) => void;
  signal?: AbortSignal;
}

export interface LoadingProgress {
  part: 'model' | 'vae';
  /** The tensor just loaded. */
  name: string;
  loadedBytes: number;
  totalBytes: number;
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`, { cause: error });
  }
}

/** Reads a folder's config.json, another JSON file, or upstream's YAML. */
export async function readShowo2Config(file: string): Promise<Showo2Config> {
  if (/\.ya?ml$/.test(file)) return parseShowo2Yaml(await readFile(file, 'utf8'), file).model;
  return parseShowo2Config(await readJson(file), file);
}

/** The tokenizer of a folder: vocabulary.json (word-level) or tokenizer.json (Qwen2.5). */
export async function loadTokenizer(folder: string): Promise<TextTokenizer> {
  const words = join(folder, 'vocabulary.json');
  if (await exists(words)) return wordTokenizer(parseWordVocabulary(await readJson(words), words));
  if (await exists(join(folder, 'tokenizer.json'))) return loadQwenTokenizer(folder);
  throw new Error(`${folder} has neither tokenizer.json nor vocabulary.json; pass the 'tokenizer' option.`);
}

/** Loads every part of a model from a folder. Keys and shapes are checked against the configuration. */
export async function loadShowo2(folder: string, options: LoadShowo2Options = {}): Promise<Showo2Parts> {
  const { storage = 'float32', signal } = options;
  const read =
    typeof options.config === 'object'
      ? options.config
      : await readShowo2Config(options.config ?? join(folder, 'config.json'));
  const tokenizer =
    typeof options.tokenizer === 'object'
      ? options.tokenizer
      : await loadTokenizer(options.tokenizer ?? (await tokenizerFolder(folder)));
  const loaded = await loadParams(folder, {
    filter: (name) => !name.endsWith('rotary_emb.inv_freq'),
    ...(signal && { signal }),
    onProgress: (progress) => options.onProgress?.({ part: 'model', ...progress }),
  });
  const config = { ...read, ...sizesOf(loaded, read), tokens: tokenizer.tokens };
  try {
    const specs = Object.entries(parameterSpecs(config)).map(([name, { shape }]) => [name, shape] as const);
    const tied = (name: string) => config.trunk.tieWordEmbeddings && name === 'showo.lm_head.weight';
    checkKeys(Object.fromEntries(specs), shapesOf(loaded), { what: folder, ignore: tied });
    if (tokenizer.vocabSize > config.vocabSize) {
      throw new Error(
        `The tokenizer has ${tokenizer.vocabSize} tokens, the model of ${folder} ${config.vocabSize}.`,
      );
    }
    const params = holdAs(loaded, storage);
    return { config, params, tokenizer, vae: await loadVae(folder, options) };
  } catch (error) {
    tf.dispose(loaded);
    throw error;
  }
}

/** The tables whose size upstream takes from other repositories are as large as they are stored. */
function sizesOf(params: Params, config: Showo2Config): Partial<Showo2Config> {
  const words = params['showo.model.embed_tokens.weight']?.shape[0];
  const places = params['position_embedding.weight']?.shape[0];
  return {
    vocabSize: words ?? config.vocabSize,
    positionGrid: places === undefined ? config.positionGrid : Math.floor(Math.sqrt(places)),
  };
}

function holdAs(params: Params, storage: FloatStorage): Params {
  if (storage === 'float32') return params;
  for (const [name, x] of Object.entries(params)) {
    params[name] = cast(x, storage);
    x.dispose();
  }
  return params;
}

async function tokenizerFolder(folder: string): Promise<string> {
  const inner = join(folder, 'tokenizer');
  return (await exists(inner)) ? inner : folder;
}

async function loadVae(folder: string, options: LoadShowo2Options): Promise<Showo2Parts['vae']> {
  const places = options.vae ? [options.vae] : [join(folder, 'vae'), join(folder, 'Wan2.1_VAE.pth')];
  let path: string | undefined;
  for (const place of places) if (path === undefined && (await exists(place))) path = place;
  if (path === undefined) throw new Error(`No VAE at ${places.join(' or ')}; pass the 'vae' option.`);
  const file = join(path, 'config.json');
  const config = (await exists(file)) ? parseVaeConfig(await readJson(file), file) : WAN21_VAE;
  const params = await loadParams(path, {
    ...(options.signal && { signal: options.signal }),
    onProgress: (progress) => options.onProgress?.({ part: 'vae', ...progress }),
  });
  checkKeys(vaeParamShapes(config), shapesOf(params), { what: path });
  return { config, params };
}
