/** Show-o2 with random weights as the trainer sees it. */

import type { Params } from '@flow-grpo/nn';
import {
  decodeImage,
  LAYER_BASES,
  latentShape,
  parameterSpecs,
  stackLayers,
  vaeParamShapes,
} from '@flow-grpo/showo2-model';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import { cast } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { paddedText, type Workload } from '../workload';
import { randomParams } from './random-params';

/** Weights under upstream's names, but for the frozen layers, which are stacked so that they run under a scan. */
export async function showo2Params({ showo2, storage }: Workload): Promise<Params> {
  const shapes = Object.entries(parameterSpecs(showo2)).map(([name, { shape }]) => [name, shape] as const);
  return stackFrozen(await randomParams(Object.fromEntries(shapes), storage, 1));
}

/** The trunk and the vision encoder stacked; the tensors they were made of are disposed of. */
export const stackFrozen = (params: Params): Params => stack(params, [LAYER_BASES.trunk, LAYER_BASES.vision]);

/** The head stacked as well: under scans the backward pass keeps one activation a layer and computes the rest again. */
export const stackHead = (params: Params): Params => stack(params, [LAYER_BASES.head]);

function stack(params: Params, bases: readonly string[]): Params {
  let stacked = params;
  for (const base of bases) {
    const before = stacked;
    stacked = stackLayers(before, base);
    for (const [name, value] of Object.entries(before)) if (stacked[name] !== value) value.dispose();
  }
  return stacked;
}

/** Weights of the whole VAE, encoder included. */
export const vaeParams = ({ vae, storage }: Workload): Promise<Params> =>
  randomParams(vaeParamShapes(vae), storage, 2);

/** Latents [B, h, w, C] to images [B, H, W, 3] in [0, 1]. */
export const decoder =
  ({ vae, storage }: Workload, params: Params) =>
  (latents: tf.Tensor): tf.Tensor4D => {
    const pixels = decodeImage(params, vae, cast(latents, storage) as tf.Tensor4D);
    return tf.clipByValue(tf.add(tf.mul(cast(pixels, 'float32'), 0.5), 0.5), 0, 1) as tf.Tensor4D;
  };

/** The recipe's policy: guidance; the diffusion head trains, or what `train` names. */
export function policyOf(workload: Workload, params: Params, vae?: Params, train?: readonly string[]) {
  const { showo2, guidanceScale } = workload;
  const ids = showo2.vocabSize;
  return showo2Policy({
    params,
    config: showo2,
    // One id a character: prompts have the length in tokens that they have in letters.
    tokenize: (prompt) => Array.from(prompt, (letter, i) => (letter.codePointAt(0)! * 31 + i) % ids),
    decode: vae
      ? decoder(workload, vae)
      : () => {
          throw new Error('this policy was made without a VAE');
        },
    latentShape: latentShape(showo2),
    guidanceScale,
    textLength: paddedText(workload),
    ...(train && { train }),
  });
}

/** `count` prompts whose rows [bos] text [boi] fill the padded width by equal steps, as in the references. */
export function prompts(workload: Workload, count: number): string[] {
  const width = workload.showo2.maxTextLength;
  return Array.from({ length: count }, (_, i) => {
    const row = Math.max(3, Math.round((width * (i + 1)) / count));
    return String.fromCodePoint(97 + i).repeat(row - 2);
  });
}
