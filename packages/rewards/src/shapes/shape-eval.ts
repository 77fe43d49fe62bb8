import { GENEVAL_TAGS, parseGenevalMetadata } from '@flow-grpo/datasets';
import { checkedScorer } from '../checked-scorer';
import type { Scorer } from '../scorer';
import { type FindShapesOptions, findShapes } from './find';
import { type JudgeOptions, judge } from './judge';
import { hostPixels } from './pixels';

export interface ShapeEvalOptions extends FindShapesOptions, JudgeOptions {
  /** Weight of the strict verdict in the score, in [0, 1]; the partial score has the rest. Default 0.5. */
  strictWeight?: number;
}

/**
 * GenEval's question for scenes of coloured shapes: does the image show what its metadata asks for? Reads
 * the batch to the host once and runs no tensor operation. Details: `strict` (0 or 1), `partial` (0 to 1),
 * and `strict_<tag>` for each task kind, NaN for images of another kind.
 *
 * @throws from `score` when counts differ or the metadata is not GenEval's with shapes as classes.
 */
export function shapeEval(options: ShapeEvalOptions = {}): Scorer {
  const { strictWeight = 0.5 } = options;
  if (!(strictWeight >= 0 && strictWeight <= 1)) {
    throw new RangeError(`shapeEval: strictWeight must lie in [0, 1], not ${strictWeight}`);
  }
  return checkedScorer('shapeEval', async (images, _prompts, metadata, { signal }) => {
    const asked = metadata.map((value, i) => parseGenevalMetadata(value, `shapeEval: metadata[${i}]`));
    const pixels = await hostPixels(images);
    signal?.throwIfAborted();
    const verdicts = pixels.map((image, i) => judge(findShapes(image, options), asked[i]!, options));
    const strict = verdicts.map((verdict) => verdict.strict);
    const partial = verdicts.map((verdict) => verdict.partial);
    const details: Record<string, number[]> = { strict, partial };
    for (const tag of GENEVAL_TAGS) {
      details[`strict_${tag}`] = strict.map((value, i) => (asked[i]!.tag === tag ? value : Number.NaN));
    }
    const scores = strict.map((value, i) => strictWeight * value + (1 - strictWeight) * partial[i]!);
    return { scores, details };
  });
}
