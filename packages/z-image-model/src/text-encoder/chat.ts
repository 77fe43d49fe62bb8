import type { BytePairTokenizer } from '@flow-grpo/checkpoint-io/tokenizer';
import * as tf from '@tensorflow/tfjs-core';

/** Tokens that the pipeline cuts prompts at, chat layout included. */
export const MAX_TOKENS = 512;

/** A prompt as one user turn in Qwen3's chat layout, the answer about to begin. Empty prompts are laid out too. */
export const chatText = (prompt: string): string =>
  `<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n`;

/** Ids of a prompt in the chat layout, cut at the end. */
export const promptIds = (
  tokenizer: Pick<BytePairTokenizer, 'encode'>,
  prompt: string,
  maxTokens = MAX_TOKENS,
): number[] => tokenizer.encode(chatText(prompt)).slice(0, maxTokens);

/**
 * Ids of prompts as one batch, int32 [B, L] right-padded, and int32 [B] lengths.
 *
 * @param length L; the longest prompt's by default
 */
export function idBatch(
  rows: readonly (readonly number[])[],
  length = Math.max(...rows.map((row) => row.length)),
): { ids: tf.Tensor2D; lengths: tf.Tensor1D } {
  const longest = Math.max(...rows.map((row) => row.length));
  if (longest > length) throw new Error(`A prompt of ${longest} tokens does not fit a batch of ${length}.`);
  // What stands in the padding is never seen: attention is causal.
  const padded = rows.flatMap((row) => [...row, ...new Array<number>(length - row.length).fill(0)]);
  return {
    ids: tf.tensor2d(padded, [rows.length, length], 'int32'),
    lengths: tf.tensor1d(
      rows.map((row) => row.length),
      'int32',
    ),
  };
}
