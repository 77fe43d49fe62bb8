import { type Attend, castLike, type Observe, type Params, qwenLayer, runLayers } from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from './config/config';
import { blockModulation, headBlock, splitModulation } from './head/block';
import { finalLayer, finalModulation, headInput, headRotary, tokensToLatents } from './head/head';
import { timeEmbedding, timeToken } from './head/time';
import { SHOWO2_LAYER_BASES } from './layers';
import { modulationRows, takeImages, writeModalities } from './sequence/assemble';
import { type ModalityPositions, omniAttentionMask } from './sequence/mask';
import { embedTokens, tokenLogits, trunkNorm, trunkRotary } from './trunk/trunk';
import { imageEmbeddings } from './vision/embed';

export interface SequenceInputs {
  /** Token ids, int32 [B, L]. */
  tokens: tf.Tensor;
  /** Image slots of every sequence; each sequence has the same number of slots, idle ones are [0, 0]. */
  positions: ModalityPositions;
  /** [B * slots, H, W, C], or with a time axis [B * slots, T, H, W, C]. */
  latents: tf.Tensor;
  /** [B * slots] in 0..1, 0 noise and 1 data. */
  t: tf.Tensor;
  /** Additive, broadcastable to [B, heads, L, L]; omni-attention of `positions` by default. */
  mask?: tf.Tensor;
}

const attendWith = (mask: tf.Tensor | undefined): Attend =>
  mask
    ? (q, k, v) => scaledDotProductAttention(q, k, v, { mask })
    : (q, k, v) => scaledDotProductAttention(q, k, v, { causal: true });

/** The sequence of embeddings [B, L, hidden] with images and times written in, and the time vectors [B * slots, head]. */
export function embedSequence(
  params: Params,
  config: Showo2Config,
  inputs: SequenceInputs,
  observe?: Observe,
) {
  const text = embedTokens(params, inputs.tokens);
  observe?.('embed_tokens', text);
  const images = imageEmbeddings(params, config, inputs.latents, observe);
  const time = timeEmbedding(params, config, inputs.t);
  observe?.('time_embed', time);
  const token = timeToken(params, config, time);
  observe?.('time_embed_proj', token);
  const embeddings = writeModalities(
    text,
    config.addTimeEmbeds ? token : undefined,
    images,
    inputs.positions,
  );
  observe?.('llm_input_embeds', embeddings);
  return { embeddings, time };
}

/** The language model over embeddings [B, L, hidden] at positions 0 .. L - 1; causal without a mask. Ends with its norm. */
export function runTrunk(
  params: Params,
  config: Showo2Config,
  embeddings: tf.Tensor,
  mask?: tf.Tensor,
  observe?: Observe,
): tf.Tensor {
  const rotary = trunkRotary(config.trunk, tf.range(0, embeddings.shape[1]!));
  const attend = attendWith(mask);
  const { layers } = config.trunk;
  const { x } = runLayers(
    params,
    SHOWO2_LAYER_BASES.trunk,
    layers,
    embeddings,
    (p, prefix, y, _given, number) => {
      const next = qwenLayer(p, prefix, config.trunk, y, rotary, attend);
      if (number !== undefined) observe?.(`llm_layer_${number}`, next);
      return [next];
    },
  );
  const hidden = trunkNorm(params, config, x);
  observe?.('llm_last_hidden', hidden);
  return hidden;
}

/** Rows [N, D] of modulation spread to the tokens of [B, L]; text gets `neutral`. */
export function spread(rows: tf.Tensor, neutral: tf.Tensor, index: tf.Tensor1D, batch: number): tf.Tensor {
  const width = rows.shape[1]!;
  const table = tf.concat([rows, castLike(tf.reshape(neutral, [1, width]), rows)], 0);
  return tf.reshape(tf.gather(table, index), [batch, -1, width]);
}

/** What text is modulated with, [6 * width]: no shift, no scale, gate 1. */
export function neutralModulation(config: Showo2Config): tf.Tensor {
  const width = config.head.hiddenSize;
  const half = () => [tf.zeros([2 * width]), tf.ones([width])];
  return tf.concat([...half(), ...half()]);
}

/**
 * The model as upstream computes it: every token of every sequence through the trunk and the head. This is the reference
 * that the faster paths are tested against, and it handles several images a sequence. `observe` sees single layers where they
 * are not stacked.
 *
 * @returns velocity [images, H, W, C] (or with T) of the slots that are not idle, and normed hidden states [B, L, hidden].
 */
export function forwardSequence(
  params: Params,
  config: Showo2Config,
  inputs: SequenceInputs,
  observe?: Observe,
): { velocity: tf.Tensor; hidden: tf.Tensor } {
  const [batch, length] = inputs.tokens.shape as [number, number];
  const mask = inputs.mask ?? omniAttentionMask(length, inputs.positions);
  const { embeddings, time } = embedSequence(params, config, inputs, observe);
  const hidden = runTrunk(params, config, embeddings, mask, observe);

  const input = headInput(params, config, hidden);
  observe?.('diff_proj', input);
  const rotary = headRotary(config.head, tf.range(0, length));
  const attend = attendWith(mask);
  const index = modulationRows(length, inputs.positions);
  const width = config.head.hiddenSize;
  const neutral = neutralModulation(config);
  const { layers } = config.head;
  const { x } = runLayers(params, SHOWO2_LAYER_BASES.head, layers, input, (p, prefix, y, _given, number) => {
    const see = (name: string) => (value: tf.Tensor) => {
      if (number !== undefined) observe?.(`diffusion_head_a_${number}${name}`, value);
    };
    const modulation = splitModulation(spread(blockModulation(p, prefix, time), neutral, index, batch));
    const next = headBlock(p, prefix, config.head, y, rotary, attend, modulation, see('_attn'));
    see('')(next);
    return [next];
  });
  const final = spread(finalModulation(params, time), tf.zeros([2 * width]), index, batch);
  const tokens = finalLayer(params, config.head, x, final);
  observe?.('diffusion_head_b_tokens', tokens);
  const pixels = takeImages(tokens, inputs.positions, config.addTimeEmbeds);
  return { velocity: tokensToLatents(config, pixels, inputs.latents.shape.slice(1)), hidden };
}

/** Next-token logits [B, L, vocab] of a sequence with images (upstream `forward_und_only`). */
export function sequenceLogits(params: Params, config: Showo2Config, inputs: SequenceInputs): tf.Tensor {
  const mask = inputs.mask ?? omniAttentionMask(inputs.tokens.shape[1]!, inputs.positions);
  const { embeddings } = embedSequence(params, config, inputs);
  return tokenLogits(params, config, runTrunk(params, config, embeddings, mask));
}

/** Next-token logits [B, L, vocab] of text alone; causal without a mask. */
export function textLogits(
  params: Params,
  config: Showo2Config,
  tokens: tf.Tensor,
  mask?: tf.Tensor,
): tf.Tensor {
  return tokenLogits(params, config, runTrunk(params, config, embedTokens(params, tokens), mask));
}
