import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import type { OcrEngine } from './engine';
import { videoOcr } from './video-ocr';

/** Reads the line that the brightness of the first pixel stands for. */
const LINES: Record<number, string> = { 0: '', 1: 'open', 2: 'OPEN late', 3: 'oven' };
const engine: OcrEngine = async ({ data }) => [{ text: LINES[data[0]! / 10]!, confidence: 0.9 }];

/** Videos whose frames show the given lines, 2 × 2 pixels. */
const videos = (...rows: number[][]) =>
  tf.tensor5d(
    rows.flatMap((frames) => frames.flatMap((line) => new Array<number>(12).fill((10 * line) / 255))),
    [rows.length, rows[0]!.length, 2, 2, 3],
  );
const prompt = 'a sign "OPEN"';

describe('videoOcr', () => {
  it('takes the mean over those sampled frames that show something of the text', async () => {
    const clips = videos([1, 9, 3, 9, 0], [0, 1, 0, 1, 0], [2, 1, 1, 1, 2]);
    const before = tf.memory().numTensors;
    const { scores, details } = await videoOcr({ engine, interval: 2 }).score(
      clips,
      [prompt, prompt, prompt],
      [{}, {}, {}],
    );
    // Frames 0 and 2 of the first: "open" whole, "oven" at distance 1 of 4. "openlate" is at distance 4 of 4.
    expect(scores).toEqual([(1 + 0.75) / 2, 0, 1]);
    expect(details.frames).toEqual([2, 0, 1]);
    expect(tf.memory().numTensors).toBe(before);
    clips.dispose();
  });

  it('reads every fourth frame by default', async () => {
    let reads = 0;
    const counting: OcrEngine = async (image) => {
      reads++;
      return engine(image);
    };
    const clip = videos([1, 9, 9, 9, 1, 9, 9, 9, 1]);
    expect((await videoOcr({ engine: counting }).score(clip, [prompt], [{}])).scores).toEqual([1]);
    expect(reads).toBe(3);
    clip.dispose();
  });

  it('says what is wrong with its input', async () => {
    const scorer = videoOcr({ engine });
    const images = tf.zeros([1, 2, 2, 3]);
    await expect(scorer.score(images as never, [prompt], [{}])).rejects.toThrow('[B, T, H, W, 3], not [1,');
    await expect(scorer.score([[]], [prompt], [{}])).rejects.toThrow('video 0 has no frame');
    await expect(scorer.score([], [prompt], [{}])).rejects.toThrow('0 videos, 1 prompts');
    const clip = videos([1]);
    await expect(scorer.score(clip, ['nothing quoted'], [{}])).rejects.toThrow('straight quotation marks');
    expect(() => videoOcr({ interval: 0 })).toThrow('interval must be a whole number above 0, not 0');
    tf.dispose([images, clip]);
  });
});
