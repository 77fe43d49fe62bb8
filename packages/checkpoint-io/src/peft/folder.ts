/** Adapters as folders on disk, in PEFT's layout. */
import { access, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { writeFileAtomic } from '../atomic-file';
import { loadParams } from '../load';
import { saveSafetensors } from '../save';
import { CONFIG, fromPeft, type LoadedLora, toPeft } from './layout';

const WEIGHTS = ['adapter_model.safetensors', 'adapter_model.bin'] as const;

/**
 * Writes adapters as a folder that PEFT's `PeftModel.from_pretrained` and `loadLora` read. The configuration is removed
 * first and written last, so a crash in between leaves a folder that is refused.
 *
 * @throws before anything is written when `loadLora` could not read it: factors of another rank, a scale that is no number
 */
export async function saveLora(
  folder: string,
  lora: LoadedLora,
  options: { baseModel?: string | undefined } = {},
): Promise<void> {
  const { tensors, config } = toPeft(lora);
  const text = `${JSON.stringify({ ...config, base_model_name_or_path: options.baseModel ?? null }, null, 2)}\n`;
  fromPeft(tensors, JSON.parse(text), `what would be ${join(folder, CONFIG)}`);
  await mkdir(folder, { recursive: true });
  await rm(join(folder, CONFIG), { force: true });
  await saveSafetensors(join(folder, WEIGHTS[0]), tensors, { metadata: { format: 'pt' } });
  await writeFileAtomic(join(folder, CONFIG), text);
}

/**
 * Reads a folder that PEFT or `saveLora` wrote: adapter_config.json beside adapter_model.safetensors (or .bin). Factors
 * are float32, whatever is stored.
 *
 * @throws naming the file that is missing or damaged, and as `fromPeft` does
 */
export async function loadLora(folder: string): Promise<LoadedLora> {
  const file = join(folder, CONFIG);
  let config: unknown;
  try {
    config = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`, { cause: error });
  }
  const places = WEIGHTS.map((name) => join(folder, name));
  const found = await Promise.all(
    places.map((place) =>
      access(place).then(
        () => true,
        () => false,
      ),
    ),
  );
  const path = places.find((_, i) => found[i]);
  if (path === undefined) throw new Error(`${folder} has neither ${WEIGHTS.join(' nor ')}.`);
  const tensors = await loadParams(path);
  try {
    return fromPeft(tensors, config, file);
  } catch (error) {
    tf.dispose(tensors);
    throw error;
  }
}
