/** Policies of models that need not be there: weights without values, of the shapes that a configuration says. */
import type { Policy } from '@flow-grpo/grpo-trainer';
import type { Params } from '@flow-grpo/nn';
import { showo2ParameterSpecs, WAN21_VAE, wordTokenizer } from '@flow-grpo/showo2-model';
import { placeholder } from '@flow-grpo/tfjs-jit';
import { transformerSpecs, Z_IMAGE_AUTOENCODER } from '@flow-grpo/z-image-model';
import * as tf from '@tensorflow/tfjs-core';
import type { ModelSetupOptions, Showo2SetupOptions, ZImageSetupOptions } from '../run-file/setup-schema';
import { openLora } from './lora';
import type { SetupContext } from './setup';
import { showo2PolicyOf } from './showo2';
import { readShowo2ConfigOf } from './showo2-sizes';
import { zImagePolicyOf } from './z-image';
import { readTransformerConfigOf } from './z-image-sizes';

/** Makes the policy of a set-up inside of compileAhead. Its images are grey: the decoder is left out. */
export type PlaceholderPolicy = () => Policy;

/**
 * @throws {ConfigError} when the model's configuration cannot be read, or nothing matches `train`
 */
export const placeholderPolicy = (
  options: ModelSetupOptions,
  context: SetupContext,
): Promise<PlaceholderPolicy> =>
  options.kind === 'z-image' ? zImagePlaceholder(options, context) : showo2Placeholder(options, context);

async function showo2Placeholder(
  options: Showo2SetupOptions,
  context: SetupContext,
): Promise<PlaceholderPolicy> {
  const config = await readShowo2ConfigOf(options, context);
  const lora = await openLora(options.train, context);
  const textLength = Math.min(options.maxPromptTokens ?? config.maxTextLength, config.maxTextLength);
  const tokenizer = wordTokenizer({ words: [] });
  return () => {
    const params = placeholders(showo2ParameterSpecs(config), options.dtype);
    const vae = { config: WAN21_VAE, params: {} };
    return withoutDecoder(showo2PolicyOf({ params, config, tokenizer, vae }, options, textLength, lora));
  };
}

async function zImagePlaceholder(
  options: ZImageSetupOptions,
  context: SetupContext,
): Promise<PlaceholderPolicy> {
  const config = await readTransformerConfigOf(options, context);
  const lora = await openLora(options.train, context);
  const encodePrompts = ({ length }: readonly string[]) => ({
    states: placeholder([length, options.maxPromptTokens, config.captionDim], 'float32', options.dtype),
    lengths: placeholder([length], 'int32'),
  });
  return () => {
    const transformer = { config, params: placeholders(transformerSpecs(config), options.dtype) };
    const vae = { config: Z_IMAGE_AUTOENCODER, params: {} };
    return withoutDecoder(zImagePolicyOf({ transformer, vae }, options, encodePrompts, lora));
  };
}

const placeholders = (
  specs: Readonly<Record<string, { readonly shape: readonly number[] }>>,
  dtype: 'float32' | 'bfloat16',
): Params =>
  Object.fromEntries(
    Object.entries(specs).map(([name, { shape }]) => [name, placeholder(shape, 'float32', dtype)]),
  );

/** Pixels of the images that stand for decoded ones. */
const SIDE = 8;

const withoutDecoder = (policy: Policy): Policy => ({
  ...policy,
  decode: (latents) =>
    tf.tile(tf.mul(tf.reshape(tf.mean(tf.reshape(latents, [latents.shape[0]!, -1]), 1), [-1, 1, 1, 1]), 0), [
      1,
      SIDE,
      SIDE,
      3,
    ]),
});
