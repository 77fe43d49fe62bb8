import { join } from 'node:path';
import { type SaveOptions, saveSafetensors, writeFileAtomic } from '@flow-grpo/checkpoint-io';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import type { Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { showo2ConfigJson } from '../config/config-json';
import { upstreamNames } from '../layers';
import type { WordVocabulary } from '../tokenizer/word';
import { EMBEDDING, LM_HEAD } from '../trunk/trunk';
import { vaeConfigJson } from '../wan-vae';
import type { Showo2Parts } from './parts';

/**
 * Writes a folder that `showo2FromPretrained` reads: config.json, model.safetensors, vae/, and the word vocabulary where
 * one is given (other tokenizers are files to copy). Parameters get upstream's names, stacked ones too, so the PyTorch code
 * loads them as well; a vocabulary projection that is tied to the embedding is written as the embedding is now.
 */
export async function saveShowo2(
  folder: string,
  parts: Pick<Showo2Parts, 'config' | 'params' | 'vae'>,
  options: SaveOptions & { vocabulary?: WordVocabulary } = {},
): Promise<void> {
  const { vocabulary, ...save } = options;
  makeFolder(join(folder, 'vae'));
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  const params = upstreamParams(parts);
  try {
    await saveSafetensors(join(folder, 'model.safetensors'), params, save);
  } finally {
    for (const [name, x] of Object.entries(params)) if (parts.params[name] !== x) x.dispose();
  }
  await saveSafetensors(join(folder, 'vae', 'model.safetensors'), parts.vae.params, save);
  await writeFileAtomic(join(folder, 'config.json'), json(showo2ConfigJson(parts.config)));
  await writeFileAtomic(join(folder, 'vae', 'config.json'), json(vaeConfigJson(parts.vae.config)));
  if (vocabulary) await writeFileAtomic(join(folder, 'vocabulary.json'), json(vocabulary));
}

/** The parameters under upstream's names; those that are not the given tensors are new. */
function upstreamParams({ config, params }: Pick<Showo2Parts, 'config' | 'params'>): Params {
  const unstacked = upstreamNames(params);
  if (!config.trunk.tieWordEmbeddings || !(LM_HEAD in params)) return unstacked;
  return { ...unstacked, [LM_HEAD]: tf.clone(unstacked[EMBEDDING]!) };
}
