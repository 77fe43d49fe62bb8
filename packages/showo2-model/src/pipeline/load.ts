import { access, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  checkKeys,
  fetchPart,
  loadParams,
  readJson,
  type SourceOptions,
  storedShapes,
} from '@flow-grpo/checkpoint-io';
import {
  castParams,
  checkFloats,
  type Params,
  uploadAs,
  type WeightDtype,
  warnIfUncompiled,
} from '@flow-grpo/nn';
import { defaultStorage, type FloatStorage } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { parseShowo2Config } from '../config/schema';
import { parseShowo2Yaml } from '../config/yaml';
import { showo2ParameterSpecs } from '../init';
import { loadQwenTokenizer } from '../tokenizer/load-qwen';
import type { TextTokenizer } from '../tokenizer/tokenizer';
import { parseWordVocabulary, wordTokenizer } from '../tokenizer/word';
import { EMBEDDING, LM_HEAD } from '../trunk/trunk';
import { parseVaeConfig, vaeParamShapes, WAN21_VAE, type WanVaeConfig } from '../wan-vae';
import type { Showo2Parts } from './parts';
import { showo2Files } from './required-files';

export interface LoadShowo2Options extends SourceOptions {
  /** The configuration, or a YAML or JSON file with it; the folder's config.json by default. */
  config?: Showo2Config | string;
  /**
   * A tokenizer, or the folder or hub id of one (tokenizer.json, or vocabulary.json). By default the model's folder; for a
   * hub id without one, the language model that its config.json names.
   */
  tokenizer?: TextTokenizer | string;
  /**
   * The VAE's file, folder or hub id. By default `vae/` or `Wan2.1_VAE.pth` in the model's folder; for a hub id without
   * one, Wan 2.1's own repository.
   */
  vae?: string;
  /**
   * How weights are stored on the device, all alike or by name (float32 for what trains): 'bfloat16' on accelerators and
   * 'float32' on CPUs by default. Weights stored so are never widened.
   */
  dtype?: WeightDtype;
  /** The same for the VAE; `dtype` where that is one for all names. */
  vaeDtype?: FloatStorage;
  onProgress?: (progress: LoadingProgress) => void;
}

export interface LoadingProgress {
  part: 'model' | 'vae';
  /** The tensor just loaded. */
  name: string;
  loadedBytes: number;
  totalBytes: number;
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

/**
 * Loads every part of a model from a folder, or from the hub (`org/name`). Keys and shapes are checked against the
 * configuration before any weight is read.
 */
export async function loadShowo2(pathOrId: string, options: LoadShowo2Options = {}): Promise<Showo2Parts> {
  const { dtype = defaultStorage() } = options;
  const vaeDtype = options.vaeDtype ?? (typeof dtype === 'string' ? dtype : defaultStorage());
  const files = await showo2Files(
    pathOrId,
    {
      // What is given as a value is read from nowhere.
      config: typeof options.config === 'object' ? pathOrId : options.config,
      tokenizer: typeof options.tokenizer === 'object' ? pathOrId : options.tokenizer,
      vae: options.vae,
    },
    options,
  );
  const { place: folder, paths } = await fetchPart(files.model, options);
  const read =
    typeof options.config === 'object'
      ? options.config
      : await readShowo2Config(
          files.config ? (await fetchPart(files.config, options)).paths.config : paths.config,
        );
  const tokenizer =
    typeof options.tokenizer === 'object'
      ? options.tokenizer
      : await loadTokenizer(dirname((await fetchPart(files.tokenizer, options)).paths.tokenizer));
  const stored = await storedShapes(paths.weights, isWeight);
  const config = { ...read, ...sizesOf(stored, read), tokens: tokenizer.tokens };
  const specs = Object.entries(showo2ParameterSpecs(config)).map(
    ([name, { shape }]) => [name, shape] as const,
  );
  const tied = (name: string) => config.trunk.tieWordEmbeddings && name === LM_HEAD;
  checkKeys(Object.fromEntries(specs), stored, { what: folder, ignore: tied });
  if (tokenizer.vocabSize > config.vocabSize) {
    throw new Error(
      `The tokenizer has ${tokenizer.vocabSize} tokens, the model of ${folder} ${config.vocabSize}.`,
    );
  }
  const vae = (await fetchPart(files.vae, options)).paths;
  const vaeConfig = await readVaeConfig(vae);
  const params = await loadWeights(
    'model',
    paths.weights,
    (name) => isWeight(name) && !tied(name),
    dtype,
    options,
  );
  warnIfUncompiled(pathOrId, params);
  try {
    // Both names are kept, so that what is saved is what was loaded; the table is one.
    if (LM_HEAD in stored && !(LM_HEAD in params)) params[LM_HEAD] = tf.clone(params[EMBEDDING]!);
    const vaeParams = await loadWeights('vae', vae.weights, () => true, vaeDtype, options);
    return { config, params, tokenizer, vae: { config: vaeConfig, params: vaeParams } };
  } catch (error) {
    tf.dispose(params);
    throw error;
  }
}

/** Rotary frequencies are computed, whatever older checkpoints store. */
const isWeight = (name: string) => !name.endsWith('rotary_emb.inv_freq');

async function loadWeights(
  part: LoadingProgress['part'],
  path: string,
  filter: (name: string) => boolean,
  dtype: WeightDtype,
  { signal, onProgress }: LoadShowo2Options,
): Promise<Params> {
  const loaded = await loadParams(path, {
    filter,
    upload: uploadAs(dtype),
    ...(signal && { signal }),
    onProgress: (progress) => onProgress?.({ part, ...progress }),
  });
  return castParams(checkFloats(loaded, path), dtype);
}

/** The tables whose size upstream takes from other repositories are as large as they are stored. */
function sizesOf(
  stored: Readonly<Record<string, readonly number[]>>,
  config: Showo2Config,
): Partial<Showo2Config> {
  const words = stored[EMBEDDING]?.[0];
  const places = stored['position_embedding.weight']?.[0];
  return {
    vocabSize: words ?? config.vocabSize,
    positionGrid: places === undefined ? config.positionGrid : Math.floor(Math.sqrt(places)),
  };
}

/** How the VAE is built; its keys and shapes are checked. */
async function readVaeConfig(vae: { weights: string; config: string | undefined }): Promise<WanVaeConfig> {
  const config =
    vae.config === undefined ? WAN21_VAE : parseVaeConfig(await readJson(vae.config), vae.config);
  checkKeys(vaeParamShapes(config), await storedShapes(vae.weights, () => true), { what: vae.weights });
  return config;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
