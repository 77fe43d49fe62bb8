import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { type Params, param } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { adaptedNames, type LoraScale } from './adapters';

const PREFIX = 'base_model.model.';
const WEIGHTS = ['adapter_model.safetensors', 'adapter_model.bin'] as const;
const CONFIG = 'adapter_config.json';

/** What PEFT's adapter_config.json holds, as far as it is written here. */
export interface PeftConfig {
  peft_type: 'LORA';
  r: number;
  lora_alpha: number;
  target_modules: string[];
  bias: 'none';
  [key: string]: unknown;
}

/** Adapters with what their scale depends on. */
export interface LoadedLora extends LoraScale {
  adapters: Params;
}

const peftSchema = z.looseObject({
  peft_type: z.literal('LORA'),
  r: z.number().int().positive(),
  lora_alpha: z.number(),
});

/** Options under which the tensors mean something else than W + (alpha / r) B A, and the values that are harmless. */
const FOREIGN: Readonly<Record<string, (value: unknown) => boolean>> = {
  bias: (value) => value === 'none',
  use_dora: isOff,
  use_rslora: isOff,
  use_qalora: isOff,
  lora_bias: isOff,
  fan_in_fan_out: isOff,
  modules_to_save: isOff,
  trainable_token_indices: isOff,
  target_parameters: isOff,
  layer_replication: isOff,
  rank_pattern: isOff,
  alpha_pattern: isOff,
  // These change the base weights when they start: PiSSA, OLoRA, CorDA, LoftQ.
  init_lora_weights: (value) => !/^(pissa|olora|corda|loftq)/.test(String(value)),
};

function isOff(value: unknown): boolean {
  return !value || (typeof value === 'object' && Object.keys(value).length === 0);
}

/** Adapters as PEFT stores them: tensors for adapter_model.safetensors, and adapter_config.json. */
export function toPeft(
  adapters: Params,
  { rank, alpha }: LoraScale,
): { tensors: Params; config: PeftConfig } {
  return {
    tensors: Object.fromEntries(Object.entries(adapters).map(([name, x]) => [PREFIX + name, x])),
    config: {
      peft_type: 'LORA',
      r: rank,
      lora_alpha: alpha,
      target_modules: adaptedNames(adapters),
      bias: 'none',
      fan_in_fan_out: false,
      inference_mode: true,
      lora_dropout: 0,
      use_dora: false,
      use_rslora: false,
    },
  };
}

/**
 * Reads adapters in PEFT's layout; `source` names the file in errors.
 *
 * @throws naming every option and tensor that is no plain LoRA: DoRA, rank-stabilised scale, biases, whole modules, …
 */
export function fromPeft(tensors: Params, config: unknown, source = CONFIG): LoadedLora {
  const parsed = peftSchema.safeParse(config);
  if (!parsed.success) throw new Error(`${source} is not valid: ${z.prettifyError(parsed.error)}`);
  const { r, lora_alpha: alpha, ...rest } = parsed.data;
  const foreign = Object.entries(FOREIGN)
    .filter(([option, harmless]) => option in rest && rest[option] !== null && !harmless(rest[option]))
    .map(([option]) => `${option}: ${JSON.stringify(rest[option])}`);
  if (foreign.length > 0) {
    throw new Error(
      `${source}: only plain LoRA, W + (alpha / r) B A, is read; not with ${foreign.join(', ')}.`,
    );
  }
  const stray = Object.keys(tensors).filter(
    (name) => !(name.startsWith(PREFIX) && /\.lora_[AB]\.weight$/.test(name)),
  );
  if (stray.length > 0) {
    throw new Error(
      `${source}: not in PEFT's layout (${PREFIX}….lora_A.weight): ${stray.slice(0, 5).join(', ')}.`,
    );
  }
  const adapters: Params = {};
  for (const [name, x] of Object.entries(tensors)) adapters[name.slice(PREFIX.length)] = x;
  for (const name of adaptedNames(adapters)) {
    const a = param(adapters, `${name}.lora_A.weight`).shape;
    const b = param(adapters, `${name}.lora_B.weight`).shape;
    if (a[0] !== r || b[1] !== r)
      throw new Error(`The adapter of '${name}' is not of rank ${r}: [${a}] and [${b}].`);
  }
  return { adapters, rank: r, alpha };
}

/** Writes adapters as a folder that PEFT's `PeftModel.from_pretrained` and `loadLora` read. */
export async function saveLora(
  folder: string,
  { adapters, ...scale }: LoadedLora,
  options: { baseModel?: string } = {},
): Promise<void> {
  const { tensors, config } = toPeft(adapters, scale);
  await mkdir(folder, { recursive: true });
  await saveSafetensors(join(folder, WEIGHTS[0]), tensors, { metadata: { format: 'pt' } });
  const json = { ...config, base_model_name_or_path: options.baseModel ?? null };
  await writeFile(join(folder, CONFIG), `${JSON.stringify(json, null, 2)}\n`);
}

/**
 * Reads a folder that PEFT or `saveLora` wrote: adapter_config.json beside adapter_model.safetensors (or .bin). Factors
 * are float32, whatever is stored.
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
