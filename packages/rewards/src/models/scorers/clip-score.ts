import { param } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { clipCosine } from '../clip/similarity';
import type { TextInput } from '../clip/towers';
import { type ClipModel, type ClipModelOptions, loadClip } from '../load/clip-model';
import { clipScoreFiles, pickScoreFiles } from '../required-files';
import { type BatchOptions, batchedScorer, type ModelScorer, type ScoreBatch } from './batches';
import { pictureProgram } from './picture-program';

export interface ClipScoreOptions extends Partial<ClipModelOptions>, BatchOptions {}

function scorer(name: string, clip: ClipModel, divisor: number, options: BatchOptions): ModelScorer {
  const program = pictureProgram(name, clip.pixels, (weights, pixels, texts: TextInput) => {
    const cosine = clipCosine(weights, clip.config, pixels, texts);
    const scale = tf.reshape(tf.exp(param(weights, 'logit_scale')), []);
    return { score: tf.div(tf.mul(cosine, scale), divisor), cosine };
  });
  const run: ScoreBatch = (pictures, prompts) => program(clip.params, pictures, clip.texts(prompts));
  return batchedScorer(name, run, clip.dispose, options);
}

/**
 * CLIP's agreement of an image with its prompt: exp(logit_scale) · cosine / 30 (flow_grpo's `clipscore`), with
 * `cosine` in the details. `model` is `openai/clip-vit-large-patch14` by default. Images are resized with
 * Pillow's bicubic, as transformers' processor does.
 *
 * @throws when files are missing or the checkpoint is not a CLIPModel.
 */
export async function clipScore(options: ClipScoreOptions = {}): Promise<ModelScorer> {
  const clip = await loadClip(clipScoreFiles(options), options);
  return scorer('clipScore', clip, 30, options);
}

/**
 * PickScore (Kirstain et al. 2023): a CLIP ViT-H trained on preferences, exp(logit_scale) · cosine / 26 as
 * flow_grpo scales it, with `cosine` in the details. `model` is `yuvalkirstain/PickScore_v1` and `processor`
 * `laion/CLIP-ViT-H-14-laion2B-s32B-b79K` by default; a `model` of your own brings its own processor.
 *
 * @throws when files are missing or the checkpoint is not a CLIPModel.
 */
export async function pickScore(options: ClipScoreOptions = {}): Promise<ModelScorer> {
  const clip = await loadClip(pickScoreFiles(options), options);
  return scorer('pickScore', clip, 26, options);
}
