import type { Params } from '@flow-grpo/nn';
import { jit, tree } from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';
import { encodeTokens, idBatch, MAX_TOKENS, promptIds } from '../text-encoder';
import { paddedLength, type TextStates } from '../transformer';
import type { TextEncoderPart } from './parts';

export interface PromptOptions {
  /** Tokens that prompts are cut at, chat layout included. Default 512. */
  readonly maxTokens?: number | undefined;
  /** Rows of the states, so that shapes stay: `promptLength` of all prompts there are. By default that of these. */
  readonly length?: number | undefined;
}

/**
 * Rows that the states of these prompts need: the longest one's tokens in the chat layout, in whole groups as the transformer
 * takes them.
 */
export const promptLength = (
  { tokenizer }: Pick<TextEncoderPart, 'tokenizer'>,
  prompts: readonly string[],
  maxTokens = MAX_TOKENS,
): number =>
  paddedLength(Math.max(...prompts.map((prompt) => promptIds(tokenizer, prompt, maxTokens).length)));

/** What turns prompts into states: one compiled program for every number and length of prompts. */
export function promptEncoder({ params, config, tokenizer }: TextEncoderPart) {
  const run = jit((weights: Params, ids: tf.Tensor) => encodeTokens(weights, config, ids), {
    name: 'z-image-text',
  });
  return (prompts: readonly string[], { maxTokens = MAX_TOKENS, length }: PromptOptions = {}): TextStates => {
    if (prompts.length === 0) throw new Error('Encoding needs at least one prompt.');
    const rows = prompts.map((prompt) => promptIds(tokenizer, prompt, maxTokens));
    return tree.tidy(() => {
      const longest = Math.max(...rows.map((row) => row.length));
      const { ids, lengths } = idBatch(rows, length ?? paddedLength(longest));
      return { states: run(params, ids), lengths };
    });
  };
}
