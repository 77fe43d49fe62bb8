import { encodeJpeg, type RgbImage, rgbImages } from '../images';
import { plainText } from '../plain-text';
import type { Scorer, Scores } from '../scorer';
import { batchedClient, type Item } from './batched-client';
import { genevalDetails, NOT_OF_KIND } from './geneval-details';
import { NdArray, pickle, unpickle } from './pickle';
import { post, type RemoteOptions } from './post';

export interface GenevalOptions extends RemoteOptions {
  /** Ask for strict rewards only, as flow_grpo does while training. Default false. */
  onlyStrict?: boolean;
}

export interface UnifiedRewardServerOptions extends RemoteOptions {
  /** The name numpy's helpers have in the request; see the pickle writer. Default `numpy.core`. */
  numpyCore?: 'numpy.core' | 'numpy._core';
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

/** A client of a pickle server: JPEG files and what `request` puts around them, batch by batch. */
function remote(
  name: string,
  options: RemoteOptions,
  request: (images: Uint8Array[], batch: Item<RgbImage>[]) => Uint8Array,
  read: (answer: ReadonlyMap<unknown, unknown>, count: number) => Scores,
): Scorer {
  return batchedClient(name, options, rgbImages, async (batch, signal) => {
    const files = await Promise.all(batch.map((item) => encodeJpeg(item.image)));
    const answer = unpickle(await post(request(files, batch), options, signal));
    if (!(answer instanceof Map)) throw new Error(`${name}: ${options.url} answered with no dictionary`);
    return read(answer, batch.length);
  });
}

const outputs = (answer: ReadonlyMap<unknown, unknown>, count: number): Scores => ({
  scores: numberList(answer, 'outputs', count),
  details: {},
});

function numberList(answer: ReadonlyMap<unknown, unknown>, key: string, count: number): number[] {
  const value = answer.get(key);
  const where = plainText(key).slice(0, 100); // the server's own word, where it names kinds of prompt
  const list = value instanceof NdArray ? value.values : value;
  if (!Array.isArray(list) || list.length !== count) {
    throw new Error(`The reward server's answer has no list of ${count} numbers under ${where}`);
  }
  return list.map((item) => {
    if (typeof item !== 'number' && typeof item !== 'boolean') {
      throw new Error(`The reward server's answer has a ${typeof item} among the numbers under ${where}`);
    }
    return Number(item);
  });
}

function groupLists(
  answer: ReadonlyMap<unknown, unknown>,
  key: string,
  count: number,
): Record<string, number[]> {
  const groups = answer.get(key);
  if (!(groups instanceof Map)) throw new Error(`The reward server's answer has no dictionary under ${key}`);
  return Object.fromEntries(
    [...groups].map(([given, list]) => {
      const kind = plainText(String(given));
      const values = numberList(new Map([[kind, list]]), kind, count);
      return [kind, values.map((value) => (value === NOT_OF_KIND ? Number.NaN : value))];
    }),
  );
}
