import type { Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { type ClipConfig, clipConfig } from '../clip/config';
import { type TextInput, textInput } from '../clip/towers';
import { CLIP_MEAN, CLIP_STD, type PixelOptions, type TowerPixels, towerPixels } from '../preprocess';
import {
  jsonFolder,
  loadWeights,
  type ModelDtype,
  optionalJson,
  type SourceOptions,
  weightsPath,
} from './source';
import { loadTokenizer, type Tokenize } from './tokenizer';

export interface ClipModelOptions extends SourceOptions {
  /** Folder or hub id of a transformers CLIPModel: config.json and weights. */
  model: string;
  /** Folder or hub id with tokenizer.json and preprocessor_config.json; `model` by default. */
  processor?: string;
  /** bfloat16 on accelerators and float32 on CPUs by default. */
  dtype?: ModelDtype;
}

/** A CLIP on the current backend, with what turns pictures and prompts into its towers' inputs. */
export interface ClipModel {
  readonly params: Params;
  readonly config: ClipConfig;
  readonly pixels: TowerPixels;
  /** Prompts as rows of one length. Throws where the model was loaded without its text tower. */
  texts(prompts: readonly string[]): TextInput;
  dispose(): void;
}

interface ProcessorJson {
  size?: number | { shortest_edge?: number };
  crop_size?: number | { height?: number };
  image_mean?: number[];
  image_std?: number[];
}

/** The resize, crop and statistics of a preprocessor_config.json; CLIP's own where it leaves them out. */
export function pixelOptions(json: unknown, imageSize: number): PixelOptions {
  const { size, crop_size, image_mean, image_std } = (json ?? {}) as ProcessorJson;
  const edge = typeof size === 'number' ? size : (size?.shortest_edge ?? imageSize);
  const crop = typeof crop_size === 'number' ? crop_size : (crop_size?.height ?? imageSize);
  return { edge, crop, mean: image_mean ?? CLIP_MEAN, std: image_std ?? CLIP_STD };
}

/** Puts the parts of a CLIP together; `tokenize` is left out for a model that only sees pictures. */
export function clipModel(
  params: Params,
  config: ClipConfig,
  pixels: TowerPixels,
  tokenize?: Tokenize,
): ClipModel {
  return {
    params,
    config,
    pixels,
    texts(prompts) {
      if (!tokenize) throw new Error('This CLIP was loaded without its text tower.');
      // The tower is causal: padding after the pooled token cannot reach it, so no mask is needed.
      return textInput(tokenize(prompts), config.text.eosTokenId);
    },
    dispose: () => tf.dispose(params),
  };
}

/** Loads a transformers CLIPModel; `text: false` leaves the text tower and the tokenizer out. */
export async function loadClip(options: ClipModelOptions & { text?: boolean }): Promise<ClipModel> {
  const { model, processor = model, text = true, dtype, signal } = options;
  const json = await optionalJson(await jsonFolder(model, options), 'config.json');
  if (!json)
    throw new Error(`${model} has no config.json: a folder or hub id of a transformers CLIPModel is needed.`);
  const config = clipConfig(json);
  const preprocessor = await optionalJson(await jsonFolder(processor, options), 'preprocessor_config.json');
  const pixels = pixelOptions(preprocessor, config.vision.imageSize);
  const path = await weightsPath(model, options);
  const params = await loadWeights(path, {
    filter: (name) => text || name.startsWith('vision_model.') || name.startsWith('visual_projection.'),
    ...(dtype && { dtype }),
    ...(signal && { signal }),
  });
  try {
    const positions = params['text_model.embeddings.position_embedding.weight'];
    const length = positions?.shape[0] ?? 0;
    const tokenize = text ? await loadTokenizer(processor, { length }, options) : undefined;
    return clipModel(params, config, towerPixels(pixels), tokenize);
  } catch (error) {
    tf.dispose(params);
    throw error;
  }
}
