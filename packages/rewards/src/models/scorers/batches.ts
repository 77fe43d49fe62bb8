import { hasCompiler, shardingOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { checkedScorer } from '../../checked-scorer';
import { rgbImages } from '../../images';
import type { Scorer, ScorerImages, Scores } from '../../scorer';
import { isTensor, type Pictures } from './picture-program';

/** A scorer that holds weights on the backend until it is disposed. */
export interface ModelScorer extends Scorer {
  /** Frees the weights; the scorer cannot be used afterwards. */
  dispose(): void;
}

export interface BatchOptions {
  /** Images in one run of the model, 16 by default: bounds its memory. More are split into batches of one size. */
  batchSize?: number;
}

/** One run of a model: tensors [B] by name; `score` is the score, the others are details. */
export type ScoreBatch = (pictures: Pictures, prompts: string[]) => { score: tf.Tensor } & tf.NamedTensorMap;

/**
 * Images where the model takes them fastest: a tensor stays where it can be compiled, everything else comes to the host as
 * bytes (without a compiler the host's resize is the faster one). What is spread over several devices is put together
 * on the first, as the weights are. `owned` says whether the tensor is a new one.
 */
async function toPictures(images: ScorerImages): Promise<{ pictures: Pictures; owned: boolean }> {
  if (Array.isArray(images) || !hasCompiler()) {
    return { pictures: await rgbImages(images), owned: false };
  }
  if (!shardingOf(images)) return { pictures: images, owned: false };
  return { pictures: tf.tensor4d(await images.data<'float32'>(), images.shape), owned: true };
}

/** `size` pictures from `at` on. The rows of a tensor are data to the program that takes them, which fits all `at`. */
function rowsOf(pictures: Pictures, at: number, size: number): Pictures {
  if (!isTensor(pictures)) return pictures.slice(at, at + size);
  if (size === pictures.shape[0]) return pictures;
  const rows = Int32Array.from({ length: size }, (_, i) => at + i);
  return tf.gather(pictures, tf.tensor1d(rows, 'int32'));
}

/** How many runs of how many images each. */
function parts(count: number, batchSize: number) {
  const runs = Math.ceil(count / batchSize);
  return { runs, size: Math.ceil(count / runs) };
}

/**
 * A scorer that runs `run` on at most `batchSize` images at a time and joins the results in order. The batches of
 * one call have one size, so that one executable does for all: the last begins earlier where they do not come out
 * even.
 */
export function batchedScorer(
  name: string,
  run: ScoreBatch,
  dispose: () => void,
  { batchSize = 16 }: BatchOptions,
): ModelScorer {
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    dispose();
    throw new RangeError(`${name}: batchSize must be a whole number above 0, not ${batchSize}`);
  }
  const scorer = checkedScorer(name, async (images, prompts, _metadata, { signal }) => {
    const { pictures, owned } = await toPictures(images);
    const count = prompts.length;
    const { runs, size } = parts(count, batchSize);
    const joined: Record<string, number[]> = { score: [] };
    try {
      for (let i = 0; i < runs; i++) {
        signal?.throwIfAborted();
        const at = Math.min(i * size, count - size);
        const made = tf.tidy(() => run(rowsOf(pictures, at, size), prompts.slice(at, at + size)));
        for (const [part, tensor] of Object.entries(made)) {
          const values = await tensor.data();
          tensor.dispose();
          joined[part] = [...(joined[part] ?? []).slice(0, at), ...values];
        }
      }
    } finally {
      if (owned) tf.dispose(pictures as tf.Tensor4D);
    }
    const { score, ...details } = joined;
    return { scores: score!, details } satisfies Scores;
  });
  const plan = (images: tf.Tensor4D, prompts: string[]) => {
    if (!hasCompiler()) return;
    const { size } = parts(prompts.length, batchSize);
    tf.tidy(() => {
      const pictures = shardingOf(images) ? tf.zeros<tf.Rank.R4>(images.shape) : images;
      run(rowsOf(pictures, 0, size), prompts.slice(0, size));
    });
  };
  return { ...scorer, plan, dispose };
}
