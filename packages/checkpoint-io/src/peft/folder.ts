/** Adapters on disk: folders in PEFT's layout, files in diffusers'. */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { writeFileAtomic } from '../atomic-file';
import { loadParams } from '../load';
import { makeFolder } from '../make-folder';
import { openCheckpoint } from '../open';
import { saveSafetensors } from '../save';
import { DIFFUSERS_FILE, fromDiffusers, toDiffusers } from './diffusers';
import { CONFIG, fromPeft, type LoadedLora, toPeft } from './layout';

const WEIGHTS = ['adapter_model.safetensors', 'adapter_model.bin'] as const;

export interface SaveLoraOptions {
  /** What the adapters were made for: `base_model_name_or_path` of PEFT's configuration. */
  readonly baseModel?: string | undefined;
  /**
   * `peft` (default): adapter_config.json and adapter_model.safetensors, for `PeftModel.from_pretrained`. `diffusers`:
   * pytorch_lora_weights.safetensors with `transformer.` in front of every name, for a pipeline's `load_lora_weights`.
   */
  readonly layout?: 'peft' | 'diffusers';
}

/**
 * Writes adapters as a folder that PEFT or diffusers, and `loadLora`, read. PEFT's configuration is removed first and written
 * last, so a crash in between leaves a folder that is refused.
 *
 * @throws before anything is written when `loadLora` could not read it: factors of another rank, a scale that is no number
 */
export async function saveLora(
  folder: string,
  lora: LoadedLora,
  options: SaveLoraOptions = {},
): Promise<void> {
  if (options.layout === 'diffusers') {
    const file = join(folder, DIFFUSERS_FILE);
    const { tensors, metadata } = toDiffusers(lora);
    fromDiffusers(tensors, metadata, `what would be ${file}`);
    makeFolder(folder);
    await saveSafetensors(file, tensors, { metadata });
    return;
  }
  const { tensors, config } = toPeft(lora);
  const text = `${JSON.stringify({ ...config, base_model_name_or_path: options.baseModel ?? null }, null, 2)}\n`;
  fromPeft(tensors, JSON.parse(text), `what would be ${join(folder, CONFIG)}`);
  makeFolder(folder);
  await rm(join(folder, CONFIG), { force: true });
  await saveSafetensors(join(folder, WEIGHTS[0]), tensors, { metadata: { format: 'pt' } });
  await writeFileAtomic(join(folder, CONFIG), text);
}

/**
 * Reads adapters that PEFT, diffusers or `saveLora` wrote: a folder with adapter_config.json beside adapter_model.safetensors
 * (or .bin), a folder with pytorch_lora_weights.safetensors, or a file like that one. Factors are float32, whatever is stored.
 *
 * @throws naming the file that is missing or damaged, a factor with other than finite numbers, and as `fromPeft` does
 */
export async function loadLora(path: string): Promise<LoadedLora> {
  if ((await stat(path).catch(() => undefined))?.isFile()) return loadFile(path);
  const names: readonly string[] = await readdir(path).catch(() => []);
  if (!names.includes(CONFIG) && names.includes(DIFFUSERS_FILE)) return loadFile(join(path, DIFFUSERS_FILE));
  const file = join(path, CONFIG);
  let config: unknown;
  try {
    config = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`, { cause: error });
  }
  const weights = WEIGHTS.find((name) => names.includes(name));
  if (weights === undefined) throw new Error(`${path} has neither ${WEIGHTS.join(' nor ')}.`);
  const stored = join(path, weights);
  return orDispose(await loadParams(stored), stored, (tensors) => fromPeft(tensors, config, file));
}

async function loadFile(file: string): Promise<LoadedLora> {
  const checkpoint = await openCheckpoint(file);
  const { metadata } = checkpoint;
  await checkpoint.close();
  return orDispose(await loadParams(file), file, (tensors) => fromDiffusers(tensors, metadata, file));
}

async function orDispose(
  tensors: tf.NamedTensorMap,
  file: string,
  read: (all: tf.NamedTensorMap) => LoadedLora,
): Promise<LoadedLora> {
  try {
    const lora = read(tensors);
    for (const [name, factor] of Object.entries(tensors)) await checkFactor(file, name, factor);
    return lora;
  } catch (error) {
    tf.dispose(tensors);
    throw error;
  }
}

/** A model with one NaN in it draws nothing else, and a run from there trains nothing. */
async function checkFactor(file: string, name: string, factor: tf.Tensor): Promise<void> {
  if (factor.dtype !== 'float32') throw new Error(`${file}: ${name} is ${factor.dtype}, not floating point.`);
  const odd = (await factor.data()).find((value) => !Number.isFinite(value));
  if (odd !== undefined) throw new Error(`${file}: ${name} holds ${odd}; the run that made it has diverged.`);
}
