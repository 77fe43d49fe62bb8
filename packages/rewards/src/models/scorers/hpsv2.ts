import * as tf from '@tensorflow/tfjs-core';
import {
  fromOpenClip,
  isOpenClipName,
  type OpenClipConfig,
  openClipConfig,
  VIT_H_14,
} from '../clip/open-clip';
import { clipCosine } from '../clip/similarity';
import type { TextInput } from '../clip/towers';
import { clipModel } from '../load/clip-model';
import { openClipText } from '../load/open-clip-text';
import { loadWeights, type ModelDtype, pathsOf, type SourceOptions } from '../load/source';
import { loadTokenizer } from '../load/tokenizer';
import { CLIP_MEAN, CLIP_STD, type TensorResize, towerPixels } from '../preprocess';
import { hpsFiles } from '../required-files';
import { type BatchOptions, batchedScorer, type ModelScorer, type ScoreBatch } from './batches';
import { pictureProgram } from './picture-program';

export interface HpsOptions extends SourceOptions, BatchOptions {
  /** Checkpoint file, or a hub id that holds `file`; `xswu/HPSv2` by default. */
  model?: string;
  /** File of the repository; `HPS_v2.1_compressed.pt` by default. */
  file?: string;
  /** Folder or hub id with CLIP's tokenizer.json; `openai/clip-vit-large-patch14` by default. */
  processor?: string;
  /** open_clip's description of the model; ViT-H-14 by default. */
  config?: OpenClipConfig;
  /** bfloat16 on accelerators (the reference has half-precision autocast) and float32 on CPUs by default. */
  dtype?: ModelDtype;
  /**
   * How pictures are resized: `antialias` (default; hpsv2 with a recent torchvision), `plain` (with an old
   * one) or `pillow` (open_clip's own preprocessing).
   */
  resize?: TensorResize | 'pillow';
}

/**
 * HPSv2 (Wu et al. 2023): the cosine of image and prompt in a CLIP ViT-H-14 trained on preferences. Weights
 * come under open_clip's names. Prompts are read as open_clip does: entities decoded, broken encodings mended.
 *
 * @throws when files are missing or the checkpoint is not open_clip's.
 */
export async function hpsv2(options: HpsOptions = {}): Promise<ModelScorer> {
  const { config: described = VIT_H_14, dtype, resize = 'antialias', signal } = options;
  const config = openClipConfig(described);
  const files = hpsFiles(options);
  const { weights } = await pathsOf(files.model, options);
  const tokenizer = await pathsOf(files.processor, options);
  const stored = await loadWeights(weights, {
    filter: isOpenClipName,
    ...(dtype && { dtype }),
    ...(signal && { signal }),
  });
  const params = fromOpenClip(stored);
  tf.dispose(stored);
  try {
    const length = params['text_model.embeddings.position_embedding.weight']?.shape[0] ?? 0;
    const tokenize = await loadTokenizer(tokenizer, { length, pad: 0 });
    const size = config.vision.imageSize;
    const pixels = { edge: size, crop: size, mean: CLIP_MEAN, std: CLIP_STD, rounding: 'even' as const };
    const clip = clipModel(params, config, towerPixels(pixels, resize), (prompts) =>
      tokenize(prompts.map(openClipText)),
    );
    const program = pictureProgram('hpsv2', clip.pixels, (weights, images, texts: TextInput) => ({
      score: clipCosine(weights, config, images, texts),
    }));
    const run: ScoreBatch = (pictures, prompts) => program(params, pictures, clip.texts(prompts));
    return batchedScorer('hpsv2', run, clip.dispose, options);
  } catch (error) {
    tf.dispose(params);
    throw error;
  }
}
