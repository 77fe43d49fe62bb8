import { linear, type Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { normalized } from '../clip/similarity';
import { type ClipModelOptions, loadClip } from '../load/clip-model';
import { loadWeights } from '../load/source';
import { type BatchOptions, batchedScorer, type ModelScorer } from './batches';

export interface AestheticOptions extends Partial<ClipModelOptions>, BatchOptions {
  /** File of the head: `sac+logos+ava1-l14-linearMSE.pth` of the improved aesthetic predictor. */
  head: string;
}

/** Linear layers with nothing between them, `name.N` in the order of N: [B, D] to [B, 1]. */
export function linearStack(params: Params, name: string, x: tf.Tensor): tf.Tensor {
  const layers = Object.keys(params)
    .map((key) => key.match(new RegExp(`^${name.replaceAll('.', '\\.')}\\.(\\d+)\\.weight$`))?.[1])
    .filter((index) => index !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
  if (layers.length === 0) throw new Error(`The parameters hold no '${name}.N.weight'.`);
  return layers.reduce((y, index) => linear(params, `${name}.${index}`, y), x);
}

/** The predictor's head on CLIP image features [B, 768] that are not normalised: scores [B], about 1 to 10. */
export function aestheticHead(params: Params, features: tf.Tensor): tf.Tensor {
  return tf.squeeze(linearStack(params, 'layers', normalized(features)), [1]);
}

/**
 * The improved aesthetic predictor (Schuhmann 2022) on CLIP ViT-L/14; prompts play no part. `model` is
 * `openai/clip-vit-large-patch14` by default, `head` is the file of the linear layers.
 *
 * @throws when files are missing or the head does not fit the model's features.
 */
export async function aesthetic(options: AestheticOptions): Promise<ModelScorer> {
  const head = await loadWeights(options.head, { filter: (name) => name.startsWith('layers.') });
  const clip = await loadClip({ model: 'openai/clip-vit-large-patch14', ...options, text: false }).catch(
    (error) => {
      tf.dispose(head);
      throw error;
    },
  );
  const dispose = () => {
    clip.dispose();
    tf.dispose(head);
  };
  return batchedScorer(
    'aesthetic',
    (images) => ({ score: aestheticHead(head, clip.imageFeatures(images)) }),
    dispose,
    options,
  );
}
