/** Show-o2 with random weights as the trainer sees it. */

import type { Params } from '@flow-grpo/nn';
import { showo2ParameterSpecs, type TextTokenizer, vaeParamShapes } from '@flow-grpo/showo2-model';
import { showo2PolicyOf } from 'flow-grpo';
import { paddedText, type Workload } from '../workload';
import { randomParams } from './random-params';

/** Weights under upstream's names. */
export function showo2Params({ showo2, storage }: Workload): Promise<Params> {
  const shapes = Object.entries(showo2ParameterSpecs(showo2)).map(
    ([name, { shape }]) => [name, shape] as const,
  );
  return randomParams(Object.fromEntries(shapes), storage, 1);
}

/** Weights of the whole VAE, encoder included. */
export const vaeParams = ({ vae, storage }: Workload): Promise<Params> =>
  randomParams(vaeParamShapes(vae), storage, 2);

/** One id a character: prompts have the length in tokens that they have in letters. */
export function characterTokenizer({ showo2 }: Workload): TextTokenizer {
  const { tokens, vocabSize } = showo2;
  const encode = (prompt: string) =>
    Array.from(prompt, (letter, i) => (letter.codePointAt(0)! * 31 + i) % vocabSize);
  return { tokens, vocabSize, encode, decode: () => '' };
}

/**
 * The recipe's policy, as the command makes it: guidance; the diffusion head trains, or what `train` names. It uses
 * `params` up.
 */
export function policyOf(workload: Workload, params: Params, vae: Params = {}, train?: readonly string[]) {
  const { showo2, guidanceScale } = workload;
  const parts = {
    params,
    config: showo2,
    tokenizer: characterTokenizer(workload),
    vae: { config: workload.vae, params: vae },
  };
  const options = { guidanceScale, guidanceInTraining: true, ...(train && { train: [...train] }) };
  return showo2PolicyOf(parts, options, paddedText(workload));
}

/** `count` prompts whose rows [bos] text [boi] fill the padded width by equal steps, as in the references. */
export function prompts(workload: Workload, count: number): string[] {
  const width = workload.showo2.maxTextLength;
  return Array.from({ length: count }, (_, i) => {
    const row = Math.max(3, Math.round((width * (i + 1)) / count));
    return String.fromCodePoint(97 + i).repeat(row - 2);
  });
}
