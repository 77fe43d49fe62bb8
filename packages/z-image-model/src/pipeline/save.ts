import { join } from 'node:path';
import { type SaveOptions, saveSafetensors, writeFileAtomic } from '@flow-grpo/checkpoint-io';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import type { Params } from '@flow-grpo/nn';
import { autoencoderConfigJson } from '../autoencoder';
import { type TextEncoderConfig, textEncoderConfigJson } from '../text-encoder';
import { transformerConfigJson } from '../transformer';
import { diffusersNames } from './names';
import type { Part, ZImageParts } from './parts';
import { schedulerConfigJson } from './scheduler';

const INDEX = {
  _class_name: 'ZImagePipeline',
  scheduler: ['diffusers', 'FlowMatchEulerDiscreteScheduler'],
  text_encoder: ['transformers', 'Qwen3Model'],
  tokenizer: ['transformers', 'Qwen2Tokenizer'],
  transformer: ['diffusers', 'ZImageTransformer2DModel'],
  vae: ['diffusers', 'AutoencoderKL'],
};

/** What is written: a model's parts, of its text encoder the weights alone. */
export interface SavedZImage extends Omit<ZImageParts, 'textEncoder'> {
  readonly textEncoder?: Part<TextEncoderConfig> | undefined;
}

/**
 * Writes a folder in diffusers' layout that `ZImage.fromPretrained` and diffusers read, but for tokenizer/, whose files are to be
 * copied. Of a text encoder that was loaded without its last layer the rest is written, for this package alone.
 */
export async function saveZImage(
  folder: string,
  { transformer, textEncoder, vae, scheduler }: SavedZImage,
  options: SaveOptions = {},
): Promise<void> {
  const json = (path: string, value: unknown) =>
    writeFileAtomic(join(folder, path), `${JSON.stringify(value, null, 2)}\n`);
  const part = async (name: string, file: string, config: unknown, params: Params) => {
    makeFolder(join(folder, name));
    const named = diffusersNames(params);
    try {
      await saveSafetensors(join(folder, name, file), named, options);
    } finally {
      for (const [key, x] of Object.entries(named)) if (params[key] !== x) x.dispose();
    }
    await json(`${name}/config.json`, config);
  };
  const DIFFUSERS_FILE = 'diffusion_pytorch_model.safetensors';
  await part('transformer', DIFFUSERS_FILE, transformerConfigJson(transformer.config), transformer.params);
  if (textEncoder) {
    const config = textEncoderConfigJson(textEncoder.config);
    await part('text_encoder', 'model.safetensors', config, textEncoder.params);
  }
  await part('vae', DIFFUSERS_FILE, autoencoderConfigJson(vae.config), vae.params);
  makeFolder(join(folder, 'scheduler'));
  await json('scheduler/scheduler_config.json', schedulerConfigJson(scheduler));
  await json('model_index.json', INDEX);
}
