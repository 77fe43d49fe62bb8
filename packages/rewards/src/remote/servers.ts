import { setMaxListeners } from 'node:events';
import pLimit from 'p-limit';
import { checkBatch, encodeJpeg, type RgbImage, rgbImages } from '../images';
import type { ScoreOptions, Scorer, ScorerImages } from '../scorer';
import { cutBatches } from './batches';
import { genevalDetails } from './geneval-details';
import { NdArray, pickle } from './pickle';
import { postPickle, type RemoteOptions } from './post';

export interface GenevalOptions extends RemoteOptions {
  /** Ask for strict rewards only, as flow_grpo does while training. Default false. */
  onlyStrict?: boolean;
}

export interface UnifiedRewardServerOptions extends RemoteOptions {
  /** The name numpy's helpers have in the request; see the pickle writer. Default `numpy.core`. */
  numpyCore?: 'numpy.core' | 'numpy._core';
}

/** One image with what goes along. */
interface Item {
  image: RgbImage;
  prompt: string;
  metadata: Record<string, unknown>;
}

/**
 * flow_grpo's GenEval server. Metadata go as they are (`tag`, `include`, …). Details: `accuracy`,
 * `strict_accuracy` and, for each task kind, `KIND_accuracy` and `KIND_strict_accuracy`, NaN for images of
 * another kind (the server's −10).
 */
export function geneval(options: GenevalOptions): Scorer {
  const { onlyStrict = false } = options;
  return remote(
    'geneval',
    options,
    (images, batch) =>
      pickle({ images, meta_datas: batch.map((item) => item.metadata), only_strict: onlyStrict }),
    (answer, count) => ({
      scores: numberList(answer, 'scores', count),
      details: genevalDetails({
        rewards: numberList(answer, 'rewards', count),
        strict_rewards: numberList(answer, 'strict_rewards', count),
        group_rewards: groupLists(answer, 'group_rewards', count),
        group_strict_rewards: groupLists(answer, 'group_strict_rewards', count),
      }),
    }),
  );
}

/** flow_grpo's DeQA server of image quality; scores as it sends them (1 to 5 for the published model). */
export function deqa(options: RemoteOptions): Scorer {
  return remote('deqa', options, (images) => pickle({ images }), outputs);
}

/** flow_grpo's UnifiedReward server: image and prompt to a score in [0, 1]. */
export function unifiedReward(options: UnifiedRewardServerOptions): Scorer {
  const { numpyCore } = options;
  return remote(
    'unifiedreward',
    options,
    (images, batch) => {
      const prompts = new NdArray(
        '<U',
        [batch.length],
        batch.map((item) => item.prompt),
      );
      return pickle({ images, prompts }, { numpyCore });
    },
    outputs,
  );
}

interface BatchScores {
  scores: number[];
  details: Record<string, number[]>;
}

function remote(
  name: string,
  options: RemoteOptions,
  request: (images: Uint8Array[], batch: Item[]) => Uint8Array,
  read: (answer: ReadonlyMap<unknown, unknown>, count: number) => BatchScores,
): Scorer {
  const { batchSize = 64, concurrency = 4 } = options;
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw new RangeError(`${name}: batchSize must be a positive whole number, not ${batchSize}`);
  }
  const limit = pLimit(concurrency);

  const scoreBatch = async (batch: Item[], signal: AbortSignal): Promise<BatchScores> => {
    signal.throwIfAborted();
    const files = await Promise.all(batch.map((item) => encodeJpeg(item.image)));
    const answer = await postPickle(request(files, batch), options, signal);
    if (!(answer instanceof Map)) throw new Error(`${name}: ${options.url} answered with no dictionary`);
    return read(answer, batch.length);
  };

  return {
    name,
    async score(
      images: ScorerImages,
      prompts: string[],
      metadata: Record<string, unknown>[],
      { signal }: ScoreOptions = {},
    ) {
      signal?.throwIfAborted();
      checkBatch(name, images, prompts, metadata);
      const items = (await rgbImages(images)).map((image, i) => ({
        image,
        prompt: prompts[i]!,
        metadata: metadata[i]!,
      }));
      const failed = new AbortController();
      const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
      setMaxListeners(0, either); // every request under way listens
      const parts = await Promise.all(
        (items.length > 0 ? cutBatches(items, batchSize) : []).map((batch) =>
          limit(scoreBatch, batch, either).catch((error: unknown) => {
            failed.abort(error);
            throw error;
          }),
        ),
      );
      return joined(parts);
    },
  };
}

/** Batches in order; a detail that a batch lacks is NaN there. */
function joined(parts: readonly BatchScores[]): BatchScores {
  const names = new Set(parts.flatMap((part) => Object.keys(part.details)));
  const details: Record<string, number[]> = {};
  for (const name of names) {
    details[name] = parts.flatMap((part) => part.details[name] ?? part.scores.map(() => Number.NaN));
  }
  return { scores: parts.flatMap((part) => part.scores), details };
}

const outputs = (answer: ReadonlyMap<unknown, unknown>, count: number): BatchScores => ({
  scores: numberList(answer, 'outputs', count),
  details: {},
});

function numberList(answer: ReadonlyMap<unknown, unknown>, key: string, count: number): number[] {
  const value = answer.get(key);
  const list = value instanceof NdArray ? value.values : value;
  if (!Array.isArray(list) || list.length !== count) {
    throw new Error(`The reward server's answer has no list of ${count} numbers under ${key}`);
  }
  return list.map((item) => {
    if (typeof item !== 'number' && typeof item !== 'boolean') {
      throw new Error(`The reward server's answer has a ${typeof item} among the numbers under ${key}`);
    }
    return Number(item);
  });
}

/** GenEval's mark for an image of another task kind. */
const NOT_OF_KIND = -10;

function groupLists(
  answer: ReadonlyMap<unknown, unknown>,
  key: string,
  count: number,
): Record<string, number[]> {
  const groups = answer.get(key);
  if (!(groups instanceof Map)) throw new Error(`The reward server's answer has no dictionary under ${key}`);
  return Object.fromEntries(
    [...groups.keys()].map((kind) => {
      const values = numberList(groups, kind, count);
      return [String(kind), values.map((value) => (value === NOT_OF_KIND ? Number.NaN : value))];
    }),
  );
}
