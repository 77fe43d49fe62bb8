/** Z-Image with random weights: its files, and as the trainer sees it. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { writeByteTokenizer } from '@flow-grpo/example-z-image-lora/byte-tokenizer';
import { toUnitRange } from '@flow-grpo/nn';
import {
  autoencoderSpecs,
  decodeLatents,
  promptEncoder,
  promptLength,
  spatialFactor,
  textEncoderSpecs,
  transformerSpecs,
  Z_IMAGE_SCHEDULER,
  type ZImageParts,
} from '@flow-grpo/z-image-model';
import { saveZImage } from '@flow-grpo/z-image-model/node';
import { LORA_TARGETS, type ZImagePolicy, zImagePolicy } from '@flow-grpo/z-image-model/policy';
import * as tf from '@tensorflow/tfjs-core';
import type { Workload } from '../workload';
import { randomParams } from './random-params';

/** Prompts of 8, 16, … words. */
export const zImagePrompts = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => Array.from({ length: 8 * (i + 1) }, () => 'word').join(' '));

/** Writes the model as one downloads it, with a tokenizer of bytes; weights are drawn on the device. Returns their bytes. */
export async function writeZImage({ zImage, storage }: Workload, folder: string): Promise<number> {
  const { transformer, textEncoder, vae } = zImage;
  const drawn = (specs: Readonly<Record<string, { readonly shape: number[] }>>, seed: number) =>
    randomParams(
      Object.fromEntries(Object.entries(specs).map(([name, { shape }]) => [name, shape])),
      storage,
      seed,
    );
  await writeByteTokenizer(join(folder, 'tokenizer'));
  const parts = {
    transformer: { config: transformer, params: await drawn(transformerSpecs(transformer), 1) },
    textEncoder: { config: textEncoder, params: await drawn(textEncoderSpecs(textEncoder), 2) },
    vae: { config: vae, params: await drawn(autoencoderSpecs(vae), 3) },
  };
  await saveZImage(folder, { ...parts, scheduler: Z_IMAGE_SCHEDULER }, { dtype: storage });
  tf.dispose(Object.values(parts).map(({ params }) => params));
  const files = ['transformer', 'vae'].map((part) => join(part, 'diffusion_pytorch_model.safetensors'));
  const sizes = [...files, join('text_encoder', 'model.safetensors')].map(
    (file) => statSync(join(folder, file)).size,
  );
  return sizes.reduce((sum, size) => sum + size, 0);
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
