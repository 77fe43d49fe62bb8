/** Low-rank adapters as PEFT lays them out: names of tensors, and what adapter_config.json says. */
import type * as tf from '@tensorflow/tfjs-core';

type Params = Record<string, tf.Tensor>;

const PREFIX = 'base_model.model.';
const FACTOR = /\.lora_[AB]\.weight$/;
export const CONFIG = 'adapter_config.json';

/** What PEFT's adapter_config.json holds, as far as it is written here. */
export interface PeftConfig {
  peft_type: 'LORA';
  r: number;
  lora_alpha: number;
  target_modules: string[];
  bias: 'none';
  use_rslora: boolean;
  [key: string]: unknown;
}

/** Adapters with what their scale depends on. */
export type LoadedLora = {
  /** `name.lora_A.weight` [rank, in] and `name.lora_B.weight` [out, rank] of linear layers, for W + scale · B A. */
  readonly adapters: Params;
  readonly rank: number;
  /** The scale is alpha / rank. */
  readonly alpha: number;
  /** The scale is alpha / √rank; absent where it is not. */
  readonly useRslora?: boolean;
};

const anything = () => true;
const isText = (value: unknown) => typeof value === 'string';

/**
 * PEFT's options under which adapters stay W + scale · B A, with the values for which they do. Every other option must be off:
 * null, false or empty, as PEFT writes the options that were not used.
 */
const SUPPORTED: Readonly<Record<string, (value: unknown) => boolean>> = {
  // Where the adapters come from and which layers have one: the tensors' names say it again.
  auto_mapping: anything,
  base_model_name_or_path: anything,
  exclude_modules: anything,
  layers_pattern: anything,
  layers_to_transform: anything,
  peft_version: isText,
  revision: anything,
  target_modules: anything,
  task_type: anything,
  // How adapters are trained.
  inference_mode: (value) => typeof value === 'boolean',
  lora_dropout: (value) => typeof value === 'number' && value >= 0 && value < 1,
  // Read with options that are refused when they are on.
  megatron_core: isText,
  qalora_group_size: Number.isInteger,
  // Others, such as PiSSA, OLoRA, CorDA and LoftQ, change the weights that adapters are added to.
  init_lora_weights: (value) => [true, 'gaussian', 'eva', 'orthogonal'].includes(value as string),
  bias: (value) => value === 'none',
  use_rslora: (value) => value === true,
};

/** Options that are on and not supported, as `name: value`. */
function foreignOptions(options: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(options)
    .filter(([name, value]) => {
      if (isOff(value)) return false;
      return !(Object.hasOwn(SUPPORTED, name) && SUPPORTED[name]!(value));
    })
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
}

function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** Adapters as PEFT stores them: tensors for adapter_model.safetensors, and adapter_config.json. */
export function toPeft({ adapters, rank, alpha, useRslora = false }: LoadedLora): {
  tensors: Params;
  config: PeftConfig;
} {
  const layers = Object.keys(adapters).map((name) => name.replace(FACTOR, ''));
  return {
    tensors: Object.fromEntries(Object.entries(adapters).map(([name, x]) => [PREFIX + name, x])),
    config: {
      peft_type: 'LORA',
      r: rank,
      lora_alpha: alpha,
      target_modules: [...new Set(layers)],
      bias: 'none',
      fan_in_fan_out: false,
      inference_mode: true,
      lora_dropout: 0,
      use_dora: false,
      use_rslora: useRslora,
    },
  };
}

/**
 * Reads adapters in PEFT's layout; `source` names the file in errors.
 *
 * @throws naming every option that is on and not known to leave plain LoRA (DoRA, biases, whole modules, …), tensors that are
 *   not its factors, and adapters that lack one or are of another rank
 */
export function fromPeft(tensors: Params, config: unknown, source = CONFIG): LoadedLora {
  const { r, lora_alpha: alpha, ...rest } = checkedConfig(config, source);
  const foreign = foreignOptions(rest);
  if (foreign.length > 0) {
    throw new Error(`${source}: only plain LoRA, W + scale · B A, is read; not with ${foreign.join(', ')}.`);
  }
  const stray = Object.keys(tensors).filter((name) => !(name.startsWith(PREFIX) && FACTOR.test(name)));
  if (stray.length > 0) {
    throw new Error(
      `${source}: not in PEFT's layout (${PREFIX}….lora_A.weight): ${stray.slice(0, 5).join(', ')}.`,
    );
  }
  if (Object.keys(tensors).length === 0) throw new Error(`${source}: there are no adapters beside it.`);
  const adapters: Params = {};
  for (const [name, x] of Object.entries(tensors)) adapters[name.slice(PREFIX.length)] = x;
  for (const name of new Set(Object.keys(adapters).map((each) => each.replace(FACTOR, '')))) {
    const [a, b] = ['A', 'B'].map((factor) => {
      const tensor = adapters[`${name}.lora_${factor}.weight`];
      if (!tensor) throw new Error(`${source}: the adapter of '${name}' has no lora_${factor}.weight.`);
      return tensor.shape;
    }) as [number[], number[]];
    if (a.length !== 2 || b.length !== 2 || a[0] !== r || b[1] !== r)
      throw new Error(`${source}: the adapter of '${name}' is not of rank ${r}: [${a}] and [${b}].`);
  }
  return { adapters, rank: r, alpha, ...(rest.use_rslora === true && { useRslora: true }) };
}

/** The three options that every adapter has, and the others. */
function checkedConfig(config: unknown, source: string): PeftOptions {
  const problem = (text: string) => new Error(`${source} is not valid: ${text}`);
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw problem('it must hold options by name');
  const { peft_type: kind, ...options } = config as Record<string, unknown>;
  if (kind !== 'LORA') throw problem(`peft_type must be LORA, not ${JSON.stringify(kind)}`);
  const { r, lora_alpha: alpha } = options;
  if (!Number.isInteger(r) || (r as number) < 1)
    throw problem(`r must be a positive integer, not ${JSON.stringify(r)}`);
  if (typeof alpha !== 'number' || !Number.isFinite(alpha))
    throw problem(`lora_alpha must be a number, not ${JSON.stringify(alpha)}`);
  return options as PeftOptions;
}

interface PeftOptions {
  readonly r: number;
  readonly lora_alpha: number;
  readonly [option: string]: unknown;
}
