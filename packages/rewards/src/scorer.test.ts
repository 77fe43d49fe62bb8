import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import {
  deqa,
  finalScore,
  geneval,
  groupwise,
  jpegCompressibility,
  jpegIncompressibility,
  multiScore,
  ocr,
  openaiVision,
  rewardServerClient,
  type Scorer,
  type ScorerImages,
  shapeEval,
  unifiedReward,
  unifiedRewardOpenai,
  withFailureRule,
} from './index';
import { batchedScorer } from './models/scorers/batches';

/** Nobody listens there: whatever is right must be found out before anything is sent. */
const url = 'http://127.0.0.1:9';
const judge = { baseURL: url, model: 'none', question: (prompt: string) => prompt, parse: finalScore };
const engine = async () => [];
const run = (_pictures: unknown, prompts: string[]) => ({ score: tf.zeros([prompts.length]) });
const scorers: Scorer[] = [
  jpegCompressibility(),
  jpegIncompressibility(),
  shapeEval(),
  ocr({ engine }),
  geneval({ url }),
  deqa({ url }),
  unifiedReward({ url }),
  rewardServerClient({ url }),
  openaiVision(judge),
  unifiedRewardOpenai({ baseURL: url }),
  batchedScorer('model', run, () => {}, {}),
  multiScore([{ scorer: shapeEval() }, { scorer: jpegCompressibility() }]),
  groupwise('group', ({ rows }) => rows.map(() => 0)),
  withFailureRule(shapeEval(), { pause: 1 }),
];

describe.each(scorers)('$name', (scorer) => {
  const metadata = [{ tag: 'colors', prompt: '"a"', include: [{ class: 'circle', count: 1 }] }];

  it('rejects with the reason of a signal that is aborted already', async () => {
    const images = tf.zeros([1, 16, 16, 3]) as tf.Tensor4D;
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(scorer.score(images, ['"a"'], metadata, { signal })).rejects.toThrow('enough');
    images.dispose();
  });

  it('says what does not fit together, and leaves its input and no other tensor', async () => {
    const before = tf.memory().numTensors;
    const images = tf.zeros([1, 16, 16, 3]) as tf.Tensor4D;
    await expect(scorer.score(images, ['"a"', '"b"'], metadata)).rejects.toThrow(
      '1 images, 2 prompts and 1 metadata',
    );
    await expect(scorer.score(images, ['"a"'], [])).rejects.toThrow('1 images, 1 prompts and 0 metadata');
    const flat = tf.zeros([1, 16, 16]) as unknown as ScorerImages;
    await expect(scorer.score(flat, ['"a"'], metadata)).rejects.toThrow('[B, H, W, 3], not [1, 16, 16]');
    expect(await images.data()).toHaveLength(16 * 16 * 3);
    tf.dispose([images, flat as tf.Tensor4D]);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('scores no images without asking anybody', async () => {
    expect((await scorer.score([], [], [])).scores).toEqual([]);
  });
});
