/** The small Show-o2: flow matching on the latents of captioned scenes, all of them kept on the device. */
import type { ShapeScenes } from '@flow-grpo/datasets';
import { type FitResult, type FlowMatchingOptions, pretrain } from '@flow-grpo/grpo-trainer';
import {
  encodeText,
  initParams,
  promptTokens,
  type Showo2Config,
  type TextTokenizer,
  velocity,
} from '@flow-grpo/showo2-model';
import * as tf from '@tensorflow/tfjs-core';
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

export async function fitShowo2(
  config: Showo2Config,
  tokenizer: TextTokenizer,
  { scenes, count, vae, batchSize }: FlowData,
  options: FlowMatchingOptions,
): Promise<FitResult> {
  const latents = encodeScenes(scenes, vae, count);
  const captions = Array.from({ length: count }, (_, i) => tokenizer.encode(scenes.example(i).prompt));
  // The last row is the empty prompt.
  const { tokens, lengths } = promptTokens(config, [...captions, []], config.maxTextLength);
  const result = await pretrain(
    initParams(config, options.seed ?? 0),
    (weights, x, t, text: ReturnType<typeof promptTokens>) => {
      const prompt = encodeText(weights, config, text.tokens, text.lengths);
      const condition = { prompt, unconditional: prompt };
      return velocity(weights, config, x, t, condition, { guidanceScale: 0 }).velocity;
    },
    (step) =>
      tf.tidy(() => {
        const chosen = Int32Array.from({ length: batchSize }, (_, i) => scatter(step * batchSize + i, count));
        const captioned = chosen.map((index, i) =>
          scatter((step * batchSize + i) * 7 + 3, 1000) < TEXT_DROPOUT * 1000 ? count : index,
        );
        const rows = tf.tensor1d(captioned, 'int32');
        const condition = { tokens: tf.gather(tokens, rows), lengths: tf.gather(lengths, rows) };
        return { latents: tf.gather(latents, tf.tensor1d(chosen, 'int32')), condition };
      }),
    { learningRate: 1.5e-3, shift: 2, ...options },
  );
  tf.dispose([latents, tokens, lengths]);
  return result;
}

/** A fixed pseudo-random index below `length` for every counter. */
function scatter(counter: number, length: number): number {
  let h = Math.imul(counter ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) % length;
}
