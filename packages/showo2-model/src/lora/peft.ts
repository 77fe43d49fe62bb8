import { type Params, param } from '@flow-grpo/nn';
import { z } from 'zod';
import { adaptedNames, type LoraScale } from './adapters';

const PREFIX = 'base_model.model.';
export const CONFIG = 'adapter_config.json';

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

const anything = () => true;
const isText = (value: unknown) => typeof value === 'string';

/**
 * PEFT's options under which adapters stay W + (alpha / r) B A, with the values for which they do. Every other option
 * must be off: null, false or empty, as PEFT writes the options that were not used.
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
 * @throws naming every option that is on and not known to leave plain LoRA (DoRA, rank-stabilised scale, biases, whole
 *   modules, …) and tensors that are not its factors
 */
export function fromPeft(tensors: Params, config: unknown, source = CONFIG): LoadedLora {
  const parsed = peftSchema.safeParse(config);
  if (!parsed.success) throw new Error(`${source} is not valid: ${z.prettifyError(parsed.error)}`);
  const { r, lora_alpha: alpha, peft_type: _, ...rest } = parsed.data;
  const foreign = foreignOptions(rest);
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
