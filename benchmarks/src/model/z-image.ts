/** Z-Image with random weights: the whole model, and as the trainer sees it. */
import type { Params } from '@flow-grpo/nn';
import { toUnitRange } from '@flow-grpo/nn';
import {
  autoencoderSpecs,
  decodeLatents,
  promptEncoder,
  promptLength,
  spatialFactor,
  stackBlocks,
  stackTextLayers,
  textEncoderSpecs,
  transformerSpecs,
  Z_IMAGE_SCHEDULER,
  type ZImageParts,
} from '@flow-grpo/z-image-model';
import { LORA_TARGETS, type ZImagePolicy, zImagePolicy } from '@flow-grpo/z-image-model/policy';
import type * as tf from '@tensorflow/tfjs-core';
import type { Workload } from '../workload';
import { randomParams } from './random-params';

/** Prompts of 8, 16, … words. */
export const zImagePrompts = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => Array.from({ length: 8 * (i + 1) }, () => 'word').join(' '));

/** Weights are drawn on the device and stacked, name by name. */
export async function zImageParts({ zImage, storage }: Workload): Promise<ZImageParts> {
  const { transformer, textEncoder, vae } = zImage;
  const drawn = (
    specs: Readonly<Record<string, { readonly shape: number[] }>>,
    seed: number,
  ): Promise<Params> =>
    randomParams(
      Object.fromEntries(Object.entries(specs).map(([name, { shape }]) => [name, shape])),
      storage,
      seed,
    );
  // One id per character.
  const encode = (text: string) =>
    Array.from(text, (letter, i) => (letter.codePointAt(0)! * 31 + i) % textEncoder.vocabSize);
  return {
    transformer: { config: transformer, params: stackBlocks(await drawn(transformerSpecs(transformer), 1)) },
    textEncoder: {
      config: textEncoder,
      params: stackTextLayers(await drawn(textEncoderSpecs(textEncoder), 2), textEncoder),
      tokenizer: { encode },
    },
    vae: { config: vae, params: await drawn(autoencoderSpecs(vae), 3) },
    scheduler: Z_IMAGE_SCHEDULER,
  };
}

/** The policy whose attention projections adapters train, at a size in pixels. */
export function zImagePolicyAt(
  { transformer, textEncoder, vae }: ZImageParts,
  [height, width]: readonly [number, number],
  prompts: readonly string[],
): ZImagePolicy {
  const factor = spatialFactor(vae.config);
  const encode = promptEncoder(textEncoder!);
  const length = promptLength(textEncoder!, ['', ...prompts]);
  return zImagePolicy({
    ...transformer,
    encodePrompts: (list) => encode(list, { length }),
    decode: (latents) => toUnitRange(decodeLatents(vae.params, vae.config, latents as tf.Tensor4D)),
    latentShape: [height / factor, width / factor, transformer.config.inChannels],
    train: LORA_TARGETS.map((name) => `${name}.weight`),
  });
}
