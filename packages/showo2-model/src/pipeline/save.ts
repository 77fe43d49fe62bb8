import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type SaveOptions, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { showo2ConfigJson } from '../config/schema';
import type { WordVocabulary } from '../tokenizer/word';
import { vaeConfigJson } from '../wan-vae';
import type { Showo2Parts } from './load';

/**
 * Writes a folder that `Showo2.fromPretrained` reads: config.json, model.safetensors, vae/, and the word vocabulary where
 * one is given (other tokenizers are files to copy). Parameters keep upstream's names, so the PyTorch code loads them too.
 */
export async function saveShowo2(
  folder: string,
  parts: Pick<Showo2Parts, 'config' | 'params' | 'vae'>,
  options: SaveOptions & { vocabulary?: WordVocabulary } = {},
): Promise<void> {
  const { vocabulary, ...save } = options;
  await mkdir(join(folder, 'vae'), { recursive: true });
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  await saveSafetensors(join(folder, 'model.safetensors'), parts.params, save);
  await saveSafetensors(join(folder, 'vae', 'model.safetensors'), parts.vae.params, save);
  await writeFile(join(folder, 'config.json'), json(showo2ConfigJson(parts.config)));
  await writeFile(join(folder, 'vae', 'config.json'), json(vaeConfigJson(parts.vae.config)));
  if (vocabulary) await writeFile(join(folder, 'vocabulary.json'), json(vocabulary));
}
