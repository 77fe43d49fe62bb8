import * as tf from '@tensorflow/tfjs-core';
import { type BlipConfig, IMAGE_REWARD } from '../blip/config';
import { type BlipPrompts, blipReward } from '../blip/reward';
import { loadWeights, type ModelDtype, pathsOf, type SourceOptions } from '../load/source';
import { loadTokenizer } from '../load/tokenizer';
import { CLIP_MEAN, CLIP_STD, towerPixels } from '../preprocess';
import { imageRewardFiles } from '../required-files';
import { type BatchOptions, batchedScorer, type ModelScorer, type ScoreBatch } from './batches';
import { pictureProgram } from './picture-program';

export interface ImageRewardOptions extends SourceOptions, BatchOptions {
  /** Checkpoint file, or a hub id that holds `file`; `THUDM/ImageReward` by default. */
  model?: string;
  /** File of the repository; `ImageReward.pt` by default. */
  file?: string;
  /** Folder or hub id with BERT's tokenizer.json; `google-bert/bert-base-uncased` by default. */
  processor?: string;
  /** Heads, sizes and statistics; ImageReward-v1.0 by default. */
  config?: BlipConfig;
  /** bfloat16 on accelerators and float32 on CPUs by default. */
  dtype?: ModelDtype;
}

/** Prompts are cut and padded to this many tokens. */
const LENGTH = 35;
/** BERT's [PAD]. */
const PAD = 0;

/** The parts of the checkpoint that play a part in the reward. */
const USED = /^(blip\.visual_encoder|blip\.text_encoder|mlp)\./;

/**
 * ImageReward (Xu et al. 2023): BLIP with a head trained on preferences; about -2 to 2, higher is better.
 *
 * @throws when files are missing or the checkpoint is not ImageReward's.
 */
export async function imageReward(options: ImageRewardOptions = {}): Promise<ModelScorer> {
  const { config = IMAGE_REWARD, dtype, signal } = options;
  const files = imageRewardFiles(options);
  const tokenizer = await pathsOf(files.processor, options);
  const { weights } = await pathsOf(files.model, options);
  const tokenize = await loadTokenizer(tokenizer, { length: LENGTH, pad: PAD });
  const params = await loadWeights(weights, {
    filter: (name) => USED.test(name),
    ...(dtype && { dtype }),
    ...(signal && { signal }),
  });
  const size = config.vision.imageSize;
  const pixelOptions = { edge: size, crop: size, mean: CLIP_MEAN, std: CLIP_STD, rounding: 'even' as const };
  const program = pictureProgram(
    'imageReward',
    towerPixels(pixelOptions),
    (weights, pixels, texts: BlipPrompts) => ({ score: blipReward(weights, config, pixels, texts) }),
  );
  const run: ScoreBatch = (pictures, prompts) => {
    const rows = tokenize(prompts);
    const shape: [number, number] = [rows.length, LENGTH];
    const ids = tf.tensor2d(rows.flat(), shape, 'int32');
    const mask = tf.tensor2d(
      rows.flat().map((id) => (id === PAD ? 0 : 1)),
      shape,
    );
    return program(params, pictures, { ids, mask });
  };
  return batchedScorer('imageReward', run, () => tf.dispose(params), options);
}
