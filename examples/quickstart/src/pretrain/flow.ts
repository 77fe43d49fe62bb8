/** The small Show-o2: flow matching on the latents of captioned scenes, all of them kept on the device. */
import type { ShapeScenes } from '@flow-grpo/datasets';
import {
  encodeText,
  initShowo2Params,
  promptTokens,
  type Showo2Config,
  showo2Velocity,
  type TextTokenizer,
} from '@flow-grpo/showo2-model';
import * as tf from '@tensorflow/tfjs-core';
import type { RunSetup } from 'flow-grpo';
import type { FlowMatchingOptions } from 'flow-grpo/pretrain';
import { encodeScenes, type Vae } from './vae';

/** Chance that a caption is left out, so that the model learns the unconditional velocity too. */
const TEXT_DROPOUT = 0.15;

export interface FlowData {
  scenes: ShapeScenes;
  /** How many scenes of the stream are learnt from. */
  count: number;
  vae: Vae;
  batchSize: number;
}

type Text = ReturnType<typeof promptTokens>;

/** What `flow-grpo pretrain` fits: a model of random weights, and batches of latents with their captions. */
export function showo2Pretraining(
  config: Showo2Config,
  tokenizer: TextTokenizer,
  { scenes, count, vae, batchSize }: FlowData,
  options: FlowMatchingOptions,
): NonNullable<RunSetup['pretrain']> {
  const latents = encodeScenes(scenes, vae, count);
  const captions = Array.from({ length: count }, (_, i) => tokenizer.encode(scenes.example(i).prompt));
  // The last row is the empty prompt.
  const { tokens, lengths } = promptTokens(config, [...captions, []], config.maxTextLength);
  return {
    params: initShowo2Params(config, options.seed ?? 0),
    velocity: (weights, x, t, condition) => {
      const text = condition as Text;
      const prompt = encodeText(weights, config, text.tokens, text.lengths);
      return showo2Velocity(weights, config, x, t, { prompt, unconditional: prompt }, { guidanceScale: 0 })
        .velocity;
    },
    batchAt: (step) =>
      tf.tidy(() => {
        const chosen = Int32Array.from({ length: batchSize }, (_, i) => scatter(step * batchSize + i, count));
        const captioned = chosen.map((index, i) =>
          scatter((step * batchSize + i) * 7 + 3, 1000) < TEXT_DROPOUT * 1000 ? count : index,
        );
        const rows = tf.tensor1d(captioned, 'int32');
        const condition = { tokens: tf.gather(tokens, rows), lengths: tf.gather(lengths, rows) };
        return { latents: tf.gather(latents, tf.tensor1d(chosen, 'int32')), condition };
      }),
    options: { learningRate: 1.5e-3, shift: 2, ...options },
  };
}

/** A fixed pseudo-random index below `length` for every counter. */
function scatter(counter: number, length: number): number {
  let h = Math.imul(counter ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) % length;
}
