/** Show-o2 beside numbers of upstream's code, stage by stage: a stage starts from the reference, not from the one before. */
import {
  decodeImage,
  encodePrompts,
  type Showo2Parts,
  textEncoder,
  showo2Velocity as velocityOf,
} from '@flow-grpo/showo2-model';
import { jit, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type Comparison, compareTensors } from './comparison';
import type { Reference } from './reference';

/** What `reference/showo2.py` writes, in upstream's layout: images and latents are channels-first. */
export const SHOWO2_TENSORS = [
  'text_tokens', // [P, L], the whole sequence
  'modality_positions', // [P, 1, 2], where the image block starts and how long it is
  'latents', // [P, C, h, w]
  't', // [P]
  'velocity', // [P, C, h, w], of the conditional branch
  'vae_latents', // [P, C, h, w]
  'image', // [P, 3, H, W] in [-1, 1]
] as const;

/** How far two right implementations may be apart, by how weights are stored. */
const TOLERANCE = {
  float32: { velocity: 1e-3, image: 1e-3 },
  bfloat16: { velocity: 5e-2, image: 5e-2 },
} as const;

export async function compareShowo2(
  parts: Showo2Parts,
  reference: Reference,
  dtype: keyof typeof TOLERANCE,
): Promise<Comparison[]> {
  const rows = await promptRows(reference);
  return [
    compareTokens(parts, reference, rows),
    await compareVelocity(parts, reference, rows, TOLERANCE[dtype].velocity),
    await compareDecoding(parts, reference, TOLERANCE[dtype].image),
  ];
}

/** [bos] text [boi] of a row of the reference. */
interface PromptRow {
  readonly bos: number;
  readonly text: number[];
  readonly boi: number;
}

async function promptRows({ tensors }: Reference): Promise<PromptRow[]> {
  const tokens = (await tensors.text_tokens!.array()) as number[][];
  const positions = (await tensors.modality_positions!.array()) as number[][][];
  return tokens.map((row, i) => {
    const boiAt = positions[i]![0]![0]! - 1;
    return { bos: row[0]!, text: row.slice(1, boiAt), boi: row[boiAt]! };
  });
}

function compareTokens(
  { config, tokenizer }: Showo2Parts,
  { prompts }: Reference,
  rows: readonly PromptRow[],
): Comparison {
  const what = 'tokens';
  const { bos, boi } = config.tokens;
  const [first] = rows;
  if (first && (first.bos !== bos || first.boi !== boi)) {
    const detail = `[bos] and [boi] are ${bos} and ${boi}, and the reference has ${first.bos} and ${first.boi}; check setup.tokenizer`;
    return { what, agrees: false, detail };
  }
  for (const [i, prompt] of prompts.entries()) {
    const ours = tokenizer.encode(prompt).slice(0, config.maxTextLength);
    const theirs = rows[i]?.text ?? [];
    const at = ours.findIndex((id, j) => id !== theirs[j]);
    const differs = at >= 0 || ours.length !== theirs.length;
    if (!differs) continue;
    const place = at >= 0 ? at : Math.min(ours.length, theirs.length);
    const detail = `token ${place} of ${JSON.stringify(prompt)} is ${ours[place]}, and the reference has ${theirs[place]}; check setup.tokenizer`;
    return { what, agrees: false, detail };
  }
  const count = rows.reduce((sum, { text }) => sum + text.length, 0);
  return { what, agrees: true, detail: `${count} tokens of ${prompts.length} prompts are the same` };
}

async function compareVelocity(
  { config, params }: Showo2Parts,
  { tensors }: Reference,
  rows: readonly PromptRow[],
  tolerance: number,
): Promise<Comparison> {
  // The reference's own special tokens: the tokenizer is compared by itself.
  const [{ bos, boi }] = rows as [PromptRow];
  const own = { ...config, tokens: { ...config.tokens, bos, boi } };
  const encode = jit(textEncoder(own), { name: 'verify-text' });
  const texts = rows.map(({ text }) => text);
  const condition = encodePrompts(params, own, texts, {}, encode);
  const run = jit(
    (weights: typeof params, x: tf.Tensor, t: tf.Tensor, prompts: typeof condition) =>
      velocityOf(weights, own, x, t, prompts, { guidanceScale: 0 }).velocity,
    { name: 'verify-velocity' },
  );
  const x = channelsLast(tensors.latents!);
  const found = run(params, x, tensors.t!, condition);
  const actual = channelsFirst(found);
  tree.dispose([condition, x, found]);
  const hint = 'check the sizes in config.json, and that this is the right checkpoint';
  try {
    return await compareTensors('velocity', actual, tensors.velocity!, tolerance, hint);
  } finally {
    actual.dispose();
  }
}

async function compareDecoding(
  { vae }: Showo2Parts,
  { tensors }: Reference,
  tolerance: number,
): Promise<Comparison> {
  const run = jit(
    (weights: typeof vae.params, latents: tf.Tensor4D) => decodeImage(weights, vae.config, latents),
    { name: 'verify-decode' },
  );
  const latents = channelsLast(tensors.vae_latents!) as tf.Tensor4D;
  const found = run(vae.params, latents);
  const actual = tf.tidy(() => channelsFirst(tf.clipByValue(found, -1, 1)));
  tf.dispose([latents, found]);
  const hint = 'check setup.vae: it must be the VAE of Wan 2.1; Wan 2.2 has a different one';
  try {
    return await compareTensors('decoded image', actual, tensors.image!, tolerance, hint);
  } finally {
    actual.dispose();
  }
}

const channelsLast = (x: tf.Tensor) => tf.transpose(x, [0, 2, 3, 1]);
const channelsFirst = (x: tf.Tensor) => tf.transpose(x, [0, 3, 1, 2]);
