import pLimit from 'p-limit';
import { checkedScorer } from '../checked-scorer';
import { mapConcurrent } from '../map-concurrent';
import type { Scorer, ScorerImages, Scores } from '../scorer';
import { cutBatches } from './batches';
import type { RemoteOptions } from './post';

/** One image with what goes along. */
export interface Item<Image> {
  image: Image;
  prompt: string;
  metadata: Record<string, unknown>;
}

/**
 * A scorer that cuts what it gets into nearly equal batches and sends them side by side; scores come back in
 * the order of the images. The first batch that fails for good aborts the others.
 *
 * @param prepare images as `send` wants them
 * @throws RangeError when the batch size is not a positive whole number
 */
export function batchedClient<Image>(
  name: string,
  { batchSize = 64, concurrency = 4 }: RemoteOptions,
  prepare: (images: ScorerImages) => Promise<Image[]> | Image[],
  send: (batch: Item<Image>[], signal: AbortSignal) => Promise<Scores>,
): Scorer {
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw new RangeError(`${name}: batchSize must be a positive whole number, not ${batchSize}`);
  }
  const limit = pLimit(concurrency);
  return checkedScorer(name, async (images, prompts, metadata, { signal }) => {
    const items = (await prepare(images)).map((image, i) => ({
      image,
      prompt: prompts[i]!,
      metadata: metadata[i]!,
    }));
    const batches = items.length > 0 ? cutBatches(items, batchSize) : [];
    return joined(await mapConcurrent(batches, (batch, _, either) => send(batch, either), { signal, limit }));
  });
}

/** Batches in order; a detail that a batch lacks is NaN there. */
function joined(parts: readonly Scores[]): Scores {
  const names = new Set(parts.flatMap((part) => Object.keys(part.details)));
  const details: Record<string, number[]> = {};
  for (const name of names) {
    details[name] = parts.flatMap((part) => part.details[name] ?? part.scores.map(() => Number.NaN));
  }
  return { scores: parts.flatMap((part) => part.scores), details };
}
