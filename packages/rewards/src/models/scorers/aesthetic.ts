import type { Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { normalized } from '../clip/similarity';
import { clipVision } from '../clip/towers';
import { type ClipModelOptions, loadClip } from '../load/clip-model';
import { loadWeights, pathsOf } from '../load/source';
import { aestheticFiles } from '../required-files';
import { type BatchOptions, batchedScorer, type ModelScorer } from './batches';
import { linearStack } from './linear-stack';
import { pictureProgram } from './picture-program';

export interface AestheticOptions extends Partial<ClipModelOptions>, BatchOptions {
  /** The head, `sac+logos+ava1-l14-linearMSE.pth` of the improved aesthetic predictor: a path or `org/name/file`. */
  head: string;
}

/** The predictor's head on CLIP image features [B, 768] that are not normalised: scores [B], about 1 to 10. */
export function aestheticHead(params: Params, features: tf.Tensor): tf.Tensor {
  return tf.squeeze(linearStack(params, 'layers', normalized(features)), [1]);
}

/**
 * The improved aesthetic predictor (Schuhmann 2022) on CLIP ViT-L/14; prompts are not used. `model` is
 * `openai/clip-vit-large-patch14` by default, `head` is the file of the linear layers.
 *
 * @throws when files are missing or the head does not fit the model's features.
 */
export async function aesthetic(options: AestheticOptions): Promise<ModelScorer> {
  // The reference widens the head, and its sums over hundreds of features need it.
  const files = aestheticFiles(options);
  const { weights } = await pathsOf(files.head, options);
  const head = await loadWeights(weights, {
    filter: (name) => name.startsWith('layers.'),
    dtype: 'float32',
    ...(options.signal && { signal: options.signal }),
  });
  const clip = await loadClip(files, options).catch((error) => {
    tf.dispose(head);
    throw error;
  });
  const dispose = () => {
    clip.dispose();
    tf.dispose(head);
  };
  const program = pictureProgram('aesthetic', clip.pixels, (weights, pixels) => ({
    score: aestheticHead(weights, clipVision(weights, clip.config.vision, pixels).features),
  }));
  const params = { ...clip.params, ...head };
  return batchedScorer('aesthetic', (pictures) => program(params, pictures, undefined), dispose, options);
}
