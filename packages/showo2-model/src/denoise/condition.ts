import { type LayerKv, type Params, qwenLayer, repeatRows, runLayers } from '@flow-grpo/nn';
import { scaledDotProductAttention, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { headBlock } from '../head/block';
import { headInput, headRotary } from '../head/head';
import { SHOWO2_LAYER_BASES } from '../layers';
import { checkTextLength } from '../text-length';
import { embedTokens, trunkNorm, trunkRotary } from '../trunk/trunk';

/**
 * Text before an image block, run through the trunk once: it is causal and sees neither latents nor time, so its keys and
 * values serve every denoising step. Every tensor's first axis is the prompt.
 */
export type TextState = {
  /** int32 [B, T], right-padded. */
  tokens: tf.Tensor;
  /** int32 [B]: [bos] text [boi], without padding. */
  lengths: tf.Tensor;
  /** [B, layers, T, kvHeads, headDim] of the trunk, after the rotary embedding. */
  keys: tf.Tensor;
  values: tf.Tensor;
  /** What the head reads at the text's places, [B, T, head width]. */
  hidden: tf.Tensor;
  /** The same as keys and values in the head; absent where the head trains and they must follow its weights. */
  headKeys?: tf.Tensor;
  headValues?: tf.Tensor;
};

/** The prompts, and the unconditional prompt (computed once, repeated to as many rows). */
export type Showo2Condition = {
  prompt: TextState;
  unconditional: TextState;
};

const causalKv = (made: { kv?: LayerKv }) => (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => {
  made.kv = { keys: k, values: v };
  return scaledDotProductAttention(q, k, v, { causal: true });
};

/** Runs text [B, T] (int32) of the given lengths [B] through the trunk. Differentiable, and works inside jit. */
export function encodeText(
  params: Params,
  config: Showo2Config,
  tokens: tf.Tensor,
  lengths: tf.Tensor,
): TextState {
  const rotary = trunkRotary(config.trunk, tf.range(0, tokens.shape[1]!));
  const { x, kv } = runLayers(
    params,
    SHOWO2_LAYER_BASES.trunk,
    config.trunk.layers,
    embedTokens(params, tokens),
    (p, prefix, y) => {
      const made: { kv?: LayerKv } = {};
      return [qwenLayer(p, prefix, config.trunk, y, rotary, causalKv(made)), made.kv];
    },
  );
  const hidden = headInput(params, config, trunkNorm(params, config, x));
  return { tokens, lengths, keys: kv!.keys, values: kv!.values, hidden };
}

/** The text's keys and values in the head, [B, layers, T, kvHeads, headDim]. Differentiable in the head's weights. */
export function encodeHeadText(params: Params, config: Showo2Config, hidden: tf.Tensor): LayerKv {
  const rotary = headRotary(config.head, tf.range(0, hidden.shape[1]!));
  const { kv } = runLayers(params, SHOWO2_LAYER_BASES.head, config.head.layers, hidden, (p, prefix, y) => {
    const made: { kv?: LayerKv } = {};
    return [headBlock(p, prefix, config.head, y, rotary, causalKv(made)), made.kv];
  });
  return kv!;
}

/** `state` with the head's text path computed now, to be used while the head's weights stay as they are. */
export function withHeadText(params: Params, config: Showo2Config, state: TextState): TextState {
  const { keys, values } = encodeHeadText(params, config, state.hidden);
  return { ...state, headKeys: keys, headValues: values };
}

/** Repeats a state of one row to `rows` rows; one that has them already is returned as it is. */
export function repeatState(state: TextState, rows: number): TextState {
  if (state.tokens.shape[0] === rows) return state;
  return Object.fromEntries(
    Object.entries(state).map(([name, x]) => [name, repeatRows(x as tf.Tensor, rows)]),
  ) as unknown as TextState;
}

export interface EncodeOptions {
  /** Text ids of the unconditional prompt; empty by default, as upstream. */
  negative?: number[];
  /**
   * Text tokens that every prompt is padded to, so that the compiled shape stays, and longer ones cut to (see
   * `chooseTextLength`); by default that of the longest prompt, at most the model's limit.
   */
  textLength?: number;
  /** Also computes the head's text path (for sampling with fixed weights). */
  head?: boolean;
}

/**
 * Token rows [bos] text [boi] of prompts given as text ids, right-padded to `textLength` text tokens and cut there.
 *
 * @param textLength by default the longest prompt's, at most the model's limit
 * @throws RangeError when `textLength` is beyond the model's limit
 */
export function promptTokens(config: Showo2Config, prompts: number[][], textLength?: number) {
  const longest = prompts.reduce((most, ids) => Math.max(most, ids.length), 0);
  const length = checkTextLength(config, textLength ?? Math.min(longest, config.maxTextLength));
  const rows = prompts.map((ids) => [config.tokens.bos, ...ids.slice(0, length), config.tokens.boi]);
  const width = length + 2;
  const flat = rows.flatMap((row) => [
    ...row,
    ...new Array<number>(width - row.length).fill(config.tokens.pad),
  ]);
  return {
    tokens: tf.tensor2d(flat, [rows.length, width], 'int32'),
    lengths: tf.tensor1d(
      rows.map((row) => row.length),
      'int32',
    ),
  };
}

/** What `encodePrompts` runs on the device for one batch of texts; give it a compiled version of itself to reuse. */
export type EncodeText = (params: Params, tokens: tf.Tensor, lengths: tf.Tensor, head: boolean) => TextState;

/** `encodeText`, and the head's text path where `head` asks for it. */
export function textEncoder(config: Showo2Config): EncodeText {
  return (params, tokens, lengths, head) => {
    const state = encodeText(params, config, tokens, lengths);
    return head ? withHeadText(params, config, state) : state;
  };
}

/** Prompts given as text ids (without special tokens) to what the denoiser attends to. */
export function encodePrompts(
  params: Params,
  config: Showo2Config,
  prompts: number[][],
  options: EncodeOptions = {},
  encode: EncodeText = textEncoder(config),
): Showo2Condition {
  if (prompts.length === 0) throw new Error('encodePrompts needs at least one prompt.');
  const run = ({ tokens, lengths }: ReturnType<typeof promptTokens>) =>
    encode(params, tokens, lengths, options.head ?? false);
  return tree.tidy(() => ({
    prompt: run(promptTokens(config, prompts, options.textLength)),
    unconditional: repeatState(run(promptTokens(config, [options.negative ?? []])), prompts.length),
  }));
}
