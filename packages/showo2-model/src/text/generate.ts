import type { Params } from '@flow-grpo/nn';
import { jit, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { embedTokens } from '../trunk/trunk';
import { chooseToken, type TokenSampling, uniformStream } from './choose';
import { decodeStep, prefill, type TextCache } from './decode';

export interface GenerateTextOptions extends TokenSampling {
  /** Most tokens to generate; 100 by default. */
  maxNewTokens?: number;
  /** Generation ends after any of these; the stop token is part of the result (as upstream). */
  stop?: readonly number[];
  seed?: number;
  /** Is called with every token as it is chosen, and the logits it was chosen from. */
  onToken?: (token: number, logits: Float32Array) => void;
  signal?: AbortSignal;
}

/** Continues a sequence: given as token ids, or as embeddings [1, L, hidden] with an additive mask (images in it). */
export type TextPrefix = { tokens: readonly number[] } | { embeddings: tf.Tensor; mask?: tf.Tensor };

/** What is compiled once for a model and reused by every call of `generateText`. */
export function textDecoder(config: Showo2Config) {
  return {
    start: jit(
      (params: Params, embeddings: tf.Tensor, mask: tf.Tensor | null, capacity: number) =>
        prefill(params, config, embeddings, capacity, mask ?? undefined),
      { name: 'showo2-prefill' },
    ),
    step: jit(
      (params: Params, cache: TextCache, token: tf.Tensor, position: tf.Tensor) =>
        decodeStep(params, config, cache, token, position),
      { name: 'showo2-token' },
    ),
  };
}

/** Token by token with cached keys and values. Resolves to the generated ids. */
export async function generateText(
  params: Params,
  config: Showo2Config,
  prefix: TextPrefix,
  options: GenerateTextOptions = {},
  { start, step } = textDecoder(config),
): Promise<number[]> {
  const { maxNewTokens = 100, stop = [config.tokens.eos], seed = 0, onToken, signal } = options;
  const uniform = uniformStream(seed);
  const length = 'tokens' in prefix ? prefix.tokens.length : prefix.embeddings.shape[1]!;
  if (length === 0) throw new Error('generateText needs at least one token to continue.');
  // Capacities in steps of 64, so that prefixes of similar length share a compiled step.
  const capacity = Math.ceil((length + maxNewTokens) / 64) * 64;
  let state = tree.tidy(() => {
    const given = 'embeddings' in prefix ? prefix : { embeddings: embedTokens(params, ids(prefix.tokens)) };
    return start(params, given.embeddings, given.mask ?? null, capacity);
  });
  const result: number[] = [];
  try {
    for (let position = length; ; position++) {
      signal?.throwIfAborted();
      const logits = (await state.logits.data()) as Float32Array;
      const token = chooseToken(logits, options, uniform());
      result.push(token);
      onToken?.(token, logits);
      if (stop.includes(token) || result.length >= maxNewTokens) return result;
      const next = tree.tidy(() =>
        step(params, state.cache, tf.tensor1d([token], 'int32'), tf.scalar(position, 'int32')),
      );
      disposeState(state);
      state = next;
    }
  } finally {
    disposeState(state);
  }
}

function disposeState({ logits, cache }: { logits: tf.Tensor; cache: TextCache }): void {
  tf.dispose([logits, cache.keys, cache.values]);
}

const ids = (tokens: readonly number[]) => tf.tensor2d([[...tokens]], [1, tokens.length], 'int32');
