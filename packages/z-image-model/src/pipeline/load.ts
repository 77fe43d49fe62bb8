import { dirname } from 'node:path';
import {
  checkKeys,
  fetchPart,
  loadBytePairTokenizer,
  loadParams,
  readJson,
  type SourceOptions,
  storedShapes,
} from '@flow-grpo/checkpoint-io';
import {
  castParams,
  checkFloats,
  type ParameterSpec,
  type Params,
  uploadAs,
  type WeightDtype,
  warnIfUncompiled,
} from '@flow-grpo/nn';
import { defaultStorage, type FloatStorage, hasCompiler } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { autoencoderSpecs, parseAutoencoderConfig } from '../autoencoder';
import { stackBlocks, stackTextLayers } from '../stacks';
import { isUsed, parseTextEncoderConfig, textEncoderSpecs } from '../text-encoder';
import { parseTransformerConfig, transformerSpecs } from '../transformer';
import { splitProjections, splitShapes, textEncoderName, transformerName } from './names';
import type { Part, TextEncoderPart, ZImageParts } from './parts';
import { type ZImagePlaces, zImageFiles, zImageTextFiles } from './required-files';
import { parseSchedulerConfig } from './scheduler';

export interface LoadZImageOptions extends SourceOptions, ZImagePlaces {
  /**
   * How weights are stored on the device, all alike or by name (float32 for what trains): 'bfloat16' on accelerators and
   * 'float32' on CPUs by default. Weights stored so are never widened.
   */
  dtype?: WeightDtype;
  /** The same for the autoencoder; `dtype` where that is one for all names. */
  vaeDtype?: FloatStorage;
  /**
   * Blocks and layers as one tensor per name, run under a scan, so that one of each kind is compiled. By default on a backend
   * that compiles.
   */
  stacked?: boolean;
  onProgress?: (progress: LoadingProgress) => void;
}

export interface LoadingProgress {
  readonly part: 'transformer' | 'text_encoder' | 'vae';
  /** The tensor just loaded. */
  readonly name: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

/**
 * Loads a model from a folder, or from the hub (`org/name`), in diffusers' layout. Keys and shapes are checked against the
 * configurations before any weight is read. The last layer of the text encoder and the norm behind it, which nothing depends
 * on, are not read.
 */
export async function loadZImage(pathOrId: string, options: LoadZImageOptions = {}): Promise<ZImageParts> {
  const { stacked = hasCompiler() } = options;
  const files = zImageFiles(pathOrId, options, options.hub?.revision);
  const { paths } = await fetchPart(files.model, options);
  const other = files.transformer && (await fetchPart(files.transformer, options)).paths.weights;
  const scheduler = parseSchedulerConfig(await readJson(paths.scheduler), paths.scheduler);
  const made: Params[] = [];
  const load = async (stored: Stored) => {
    const params = await loadWeights(stored, options);
    made.push(params);
    return params;
  };
  try {
    const transformer = await loadTransformer(paths.transformerConfig, other ?? paths.transformer!, load);
    const textEncoder =
      paths.textEncoder === undefined
        ? undefined
        : await loadTextEncoder(paths.textEncoderConfig!, paths.textEncoder, paths.tokenizer!, load);
    const vaeConfig = parseAutoencoderConfig(await readJson(paths.vaeConfig), paths.vaeConfig);
    const vae = await load({ part: 'vae', path: paths.vae, specs: autoencoderSpecs(vaeConfig) });
    if (textEncoder && textEncoder.config.hiddenSize !== transformer.config.captionDim) {
      throw new Error(
        `${pathOrId}: the text encoder's states have ${textEncoder.config.hiddenSize} numbers, the transformer reads ${transformer.config.captionDim}.`,
      );
    }
    warnIfUncompiled(pathOrId, transformer.params);
    return {
      transformer: stacked ? { ...transformer, params: stackBlocks(transformer.params) } : transformer,
      textEncoder:
        textEncoder && stacked
          ? { ...textEncoder, params: stackTextLayers(textEncoder.params, textEncoder.config) }
          : textEncoder,
      vae: { config: vaeConfig, params: vae },
      scheduler,
    };
  } catch (error) {
    tf.dispose(made);
    throw error;
  }
}

/**
 * Loads the text encoder alone, for states of prompts that are computed ahead.
 *
 * @throws as `loadZImage` does
 */
export async function loadZImageTextEncoder(
  pathOrId: string,
  options: LoadZImageOptions = {},
): Promise<TextEncoderPart> {
  const { stacked = hasCompiler() } = options;
  const { paths } = await fetchPart(zImageTextFiles(pathOrId, options.hub?.revision), options);
  const load = (stored: Stored) => loadWeights(stored, options);
  const part = await loadTextEncoder(paths.config, paths.weights, paths.tokenizer, load);
  return stacked ? { ...part, params: stackTextLayers(part.params, part.config) } : part;
}

/** One part's weights: where they are, what they must be, and what of them is read. */
interface Stored {
  readonly part: LoadingProgress['part'];
  readonly path: string;
  readonly specs: Record<string, ParameterSpec>;
  /** The name here of a stored tensor. */
  readonly rename?: (stored: string) => string;
  /** Expected weights that are not read, and may be missing. */
  readonly isUnused?: (name: string) => boolean;
}

type Load = (stored: Stored) => Promise<Params>;

async function loadTransformer(
  configPath: string,
  path: string,
  load: Load,
): Promise<Part<ZImageParts['transformer']['config']>> {
  const config = parseTransformerConfig(await readJson(configPath), configPath);
  const rename = (stored: string) => transformerName(stored, config);
  const params = await load({ part: 'transformer', path, specs: transformerSpecs(config), rename });
  return { config, params };
}

async function loadTextEncoder(
  configPath: string,
  path: string,
  tokenizerPath: string,
  load: Load,
): Promise<TextEncoderPart> {
  const config = parseTextEncoderConfig(await readJson(configPath), configPath);
  const tokenizer = await loadBytePairTokenizer(dirname(tokenizerPath));
  if (tokenizer.vocabSize > config.vocabSize) {
    throw new Error(
      `${tokenizerPath} has ${tokenizer.vocabSize} tokens, the text encoder of ${configPath} ${config.vocabSize}.`,
    );
  }
  const params = await load({
    part: 'text_encoder',
    path,
    specs: textEncoderSpecs(config),
    rename: textEncoderName,
    isUnused: (name) => !isUsed(name, config),
  });
  return { config, params, tokenizer };
}

async function loadWeights(
  { part, path, specs, rename = (name) => name, isUnused = () => false }: Stored,
  { dtype = defaultStorage(), vaeDtype, signal, onProgress }: LoadZImageOptions,
): Promise<Params> {
  const storage: WeightDtype =
    part === 'vae' ? (vaeDtype ?? (typeof dtype === 'string' ? dtype : defaultStorage())) : dtype;
  const isForeign = (name: string) => /^lm_head\.|rotary_emb\.inv_freq$/.test(name);
  const stored = await storedShapes(path, (name) => !isForeign(rename(name)));
  const found = Object.fromEntries(Object.entries(stored).map(([name, shape]) => [rename(name), shape]));
  const expected = Object.fromEntries(Object.entries(specs).map(([name, { shape }]) => [name, shape]));
  checkKeys(expected, splitShapes(found), { what: path, optional: isUnused });
  const loaded = await loadParams(path, {
    filter: (name) => !isForeign(rename(name)) && !isUnused(rename(name)),
    rename,
    upload: uploadAs(storage),
    ...(signal && { signal }),
    onProgress: (progress) => onProgress?.({ part, ...progress }),
  });
  return castParams(splitProjections(checkFloats(loaded, path)), storage);
}
