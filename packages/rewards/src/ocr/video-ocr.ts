import * as tf from '@tensorflow/tfjs-core';
import { type RgbImage, rgbImages } from '../images';
import type { EncodedImage, ScoreOptions, Scores } from '../scorer';
import { type OcrEngine, paddleOcr } from './engine';
import { quotedTarget, textScore } from './text-score';

/** Videos to score: [B, T, H, W, 3] float32 in [0, 1], or the files of each video's frames. */
export type ScorerVideos = tf.Tensor5D | EncodedImage[][];

/** As a `Scorer`, of videos. */
export interface VideoScorer {
  readonly name: string;
  score(
    videos: ScorerVideos,
    prompts: string[],
    metadata: Record<string, unknown>[],
    options?: ScoreOptions,
  ): Promise<Scores>;
}

export interface VideoOcrOptions {
  /** Default {@link paddleOcr}. */
  engine?: OcrEngine;
  /** Reads every n-th frame, from the first. Default 4, as flow_grpo. */
  interval?: number;
}

/**
 * flow_grpo's OCR reward of videos: the mean over those frames that show something of the quoted text, each
 * 1 - distance / length; 0 when none does. Unlike {@link ocr}, text around the quoted one counts against a
 * frame. Details: `frames`, how many frames took part in the mean.
 *
 * @throws when the interval is not a whole number above 0; from `score` when counts differ, a video has no
 *   frame, or a prompt quotes nothing
 */
export function videoOcr({ engine = paddleOcr(), interval = 4 }: VideoOcrOptions = {}): VideoScorer {
  if (!(Number.isInteger(interval) && interval > 0)) {
    throw new RangeError(`videoOcr: interval must be a whole number above 0, not ${interval}`);
  }
  return {
    name: 'video_ocr',
    async score(videos, prompts, metadata, { signal } = {}) {
      signal?.throwIfAborted();
      checkVideos(videos, prompts.length, metadata.length);
      const targets = prompts.map(quotedTarget);
      const scores: number[] = [];
      const frames: number[] = [];
      for (const [v, target] of targets.entries()) {
        const shown: number[] = [];
        for (const frame of await sampledFrames(videos, v, interval)) {
          signal?.throwIfAborted();
          const { score } = textScore(target, await engine(frame), true);
          if (score > 0) shown.push(score);
        }
        scores.push(shown.length > 0 ? shown.reduce((sum, score) => sum + score, 0) / shown.length : 0);
        frames.push(shown.length);
      }
      return { scores, details: { frames } };
    },
  };
}

function checkVideos(videos: ScorerVideos, prompts: number, metadata: number): void {
  if (!Array.isArray(videos) && (videos.rank !== 5 || videos.shape[4] !== 3)) {
    throw new Error(
      `videoOcr: videos must be [B, T, H, W, 3], not [${(videos.shape as number[]).join(', ')}]`,
    );
  }
  const count = Array.isArray(videos) ? videos.length : videos.shape[0];
  if (prompts !== count || metadata !== count) {
    throw new Error(
      `videoOcr: ${count} videos, ${prompts} prompts and ${metadata} metadata; give one of each per video`,
    );
  }
  const empty = Array.isArray(videos) ? videos.findIndex((frames) => frames.length === 0) : -1;
  if (empty >= 0 || (!Array.isArray(videos) && videos.shape[1] === 0)) {
    throw new Error(`videoOcr: video ${Math.max(empty, 0)} has no frame`);
  }
}

/** Every `interval`-th frame of one video, on the host. */
async function sampledFrames(videos: ScorerVideos, v: number, interval: number): Promise<RgbImage[]> {
  if (Array.isArray(videos)) return rgbImages(videos[v]!.filter((_, i) => i % interval === 0));
  const [, length, height, width] = videos.shape;
  const sampled = tf.tidy(() => {
    const video = tf.reshape(tf.slice(videos, [v, 0, 0, 0, 0], [1, length, height, width, 3]), [
      length,
      height,
      width,
      3,
    ]);
    return tf.gather(video, tf.range(0, length, interval, 'int32')) as tf.Tensor4D;
  });
  try {
    return await rgbImages(sampled);
  } finally {
    sampled.dispose();
  }
}
