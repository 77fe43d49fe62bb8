/** States of prompts, computed ahead: a safetensors file in place of a text encoder. */
import {
  mainFileChoice,
  openCheckpoint,
  type RequiredFiles,
  saveSafetensors,
} from '@flow-grpo/checkpoint-io';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { type FloatStorage, fromBytes, storageOf, toBytes, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { SetupContext } from './setup';
import { openSource } from './sources';

const OPTION = 'setup.promptEmbeddings';
const FORMAT = 'flow-grpo prompt embeddings';
const BYTES: Readonly<Record<FloatStorage, number>> = { float32: 4, bfloat16: 2, float16: 2 };

/** What an encoder says of prompts: states [P, L, width], of which the first `lengths` [P] rows of each count. */
export interface States {
  readonly states: tf.Tensor;
  readonly lengths: tf.Tensor;
}

/** The states of prompts that a file holds, on the host. */
export interface PromptEmbeddings {
  /** Rows of the longest prompt among these. @throws {ConfigError} when there is one that the file does not have. */
  longest(prompts: readonly string[]): number;
  /** The states of prompts, filled up to `length` rows each, stored as they are in the file. */
  encode(prompts: readonly string[], length: number): States;
}

export const requiredEmbeddings = (source: string) =>
  ({
    option: OPTION,
    source,
    files: { embeddings: mainFileChoice('prompts.safetensors') },
    hint: 'flow-grpo embed RUN.YAML writes it.',
  }) satisfies RequiredFiles;

export interface WriteOptions {
  /** Tokens that prompts were cut at; a run that cuts elsewhere is refused. */
  readonly maxTokens: number;
  /** Prompts at once. */
  readonly batchSize: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Writes the states of distinct prompts: of each as many rows as it has, in the storage that the encoder gives. */
export async function writePromptEmbeddings(
  file: string,
  prompts: readonly string[],
  encode: (prompts: readonly string[]) => States,
  { maxTokens, batchSize, onProgress }: WriteOptions,
): Promise<void> {
  const tensors: Record<string, { dtype: FloatStorage; shape: number[]; bytes: Uint8Array }> = {};
  for (let from = 0; from < prompts.length; from += batchSize) {
    onProgress?.(from, prompts.length);
    const made = encode(prompts.slice(from, from + batchSize));
    try {
      const [, rows, width] = made.states.shape as [number, number, number];
      const dtype = storageOf(made.states);
      const [bytes, lengths] = await Promise.all([toBytes(made.states), made.lengths.data()]);
      const each = width * BYTES[dtype];
      for (const [i, length] of lengths.entries()) {
        const start = i * rows * each;
        tensors[nameOf(from + i)] = {
          dtype,
          shape: [length, width],
          bytes: bytes.slice(start, start + length * each),
        };
      }
    } finally {
      tree.dispose(made);
    }
  }
  const metadata = { format: FORMAT, maxTokens: `${maxTokens}`, prompts: JSON.stringify(prompts) };
  await saveSafetensors(file, tensors, { metadata });
}

/**
 * Reads what `writePromptEmbeddings` wrote.
 *
 * @param width numbers of a row that the model reads
 * @throws {ConfigError} when the file is not there, or is of another kind, width or cut.
 */
export async function openPromptEmbeddings(
  source: string,
  { maxTokens, width }: { readonly maxTokens: number; readonly width: number },
  context: SetupContext,
): Promise<PromptEmbeddings & { readonly file: string }> {
  const { paths } = await openSource(requiredEmbeddings(source), context);
  const file = paths.embeddings;
  const refuse = (why: string) =>
    new ConfigError(`${OPTION}: ${file} ${why}; run flow-grpo embed to write it again`);
  const checkpoint = await openCheckpoint(file);
  try {
    const { format, prompts: list, maxTokens: cut } = checkpoint.metadata;
    if (format !== FORMAT) throw refuse('holds no states of prompts');
    if (cut !== `${maxTokens}`) throw refuse(`has prompts cut to ${cut} tokens, and the run cuts them to ${maxTokens}`);
    const known = new Map<string, { rows: number; bytes: Uint8Array }>();
    let storage: FloatStorage = 'float32';
    for (const [i, prompt] of (JSON.parse(String(list)) as string[]).entries()) {
      const { shape, dtype } = checkpoint.info(nameOf(i));
      if (shape[1] !== width) throw refuse(`has states of width ${shape[1]}, and the model reads ${width}`);
      storage = dtype as FloatStorage;
      known.set(prompt, { rows: shape[0]!, bytes: await checkpoint.readBytes(nameOf(i)) });
    }
    const missing = (prompts: readonly string[]) => prompts.filter((prompt) => !known.has(prompt));
    return {
      file,
      longest(prompts) {
        const [first, ...more] = missing(prompts);
        if (first !== undefined)
          throw refuse(`lacks ${more.length + 1} of the run's prompts, such as ${JSON.stringify(first)}`);
        return Math.max(...prompts.map((prompt) => known.get(prompt)!.rows));
      },
      encode(prompts, length) {
        const each = width * BYTES[storage];
        const bytes = new Uint8Array(prompts.length * length * each);
        const rows = prompts.map((prompt, i) => {
          const state = known.get(prompt);
          if (!state) throw refuse(`lacks the prompt ${JSON.stringify(prompt)}`);
          bytes.set(state.bytes, i * length * each);
          return state.rows;
        });
        return {
          states: fromBytes(bytes, [prompts.length, length, width], storage),
          lengths: tf.tensor1d(rows, 'int32'),
        };
      },
    };
  } finally {
    await checkpoint.close();
  }
}

const nameOf = (i: number) => `states.${i}`;
