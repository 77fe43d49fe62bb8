import type { Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { type ClipConfig, clipConfig } from '../clip/config';
import { type TextInput, textInput } from '../clip/towers';
import { CLIP_MEAN, CLIP_STD, type PixelOptions, type TowerPixels, towerPixels } from '../preprocess';
import type { aestheticFiles, ClipFiles } from '../required-files';
import { loadWeights, type ModelDtype, optionalJson, pathsOf, type SourceOptions } from './source';
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

/** Loads a transformers CLIPModel from its files: without its text tower where those have no tokenizer. */
export async function loadClip(
  files: ClipFiles | Pick<ReturnType<typeof aestheticFiles>, 'model' | 'processor'>,
  options: Omit<ClipModelOptions, 'model' | 'processor'>,
): Promise<ClipModel> {
  const { dtype, signal } = options;
  const text = 'tokenizer' in files.processor.files;
  const model = await pathsOf(files.model, options);
  const processor = await pathsOf((files as ClipFiles).processor, options);
  const config = clipConfig((await optionalJson(model.config)) as object);
  const pixels = pixelOptions(await optionalJson(processor.preprocessor), config.vision.imageSize);
  const params = await loadWeights(model.weights, {
    filter: (name) => text || name.startsWith('vision_model.') || name.startsWith('visual_projection.'),
    ...(dtype && { dtype }),
    ...(signal && { signal }),
  });
  try {
    const positions = params['text_model.embeddings.position_embedding.weight'];
    const length = positions?.shape[0] ?? 0;
    const tokenize = text ? await loadTokenizer(processor, { length }) : undefined;
    return clipModel(params, config, towerPixels(pixels), tokenize);
  } catch (error) {
    tf.dispose(params);
    throw error;
  }
}
