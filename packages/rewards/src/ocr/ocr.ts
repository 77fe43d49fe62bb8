import { checkedScorer } from '../checked-scorer';
import { rgbImages } from '../images';
import type { Scorer } from '../scorer';
import { type OcrEngine, paddleOcr } from './engine';
import { quotedTarget, textScore } from './text-score';

export interface OcrOptions {
  /** Default {@link paddleOcr}. */
  engine?: OcrEngine;
}

/**
 * flow_grpo's OCR reward: how close the text read in an image is to the text its prompt quotes, from 0 to 1.
 * Details: `distance`, the edit distance in code points.
 *
 * @throws from `score` when a prompt quotes nothing; see `quotedTarget`
 */
export function ocr({ engine = paddleOcr() }: OcrOptions = {}): Scorer {
  return checkedScorer('ocr', async (images, prompts, _metadata, { signal }) => {
    const targets = prompts.map(quotedTarget);
    const scores: number[] = [];
    const distance: number[] = [];
    for (const [i, image] of (await rgbImages(images)).entries()) {
      const result = textScore(targets[i]!, await engine(image));
      signal?.throwIfAborted();
      scores.push(result.score);
      distance.push(result.distance);
    }
    return { scores, details: { distance } };
  });
}
