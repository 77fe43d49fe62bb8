import { type NamePattern, type Params, param, selectNames } from '@flow-grpo/nn';
import { random } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';

/** Low-rank adaptation (Hu et al. 2021): W + (alpha / rank) B A, with B starting at zero. */
export interface LoraConfig {
  rank: number;
  alpha: number;
  /** Which linear weights get an adapter, by name without `.weight`. */
  patterns: readonly NamePattern[];
}

/** What PEFT's adapter_config.json holds, as far as it is read and written here. */
export interface PeftConfig {
  peft_type: 'LORA';
  r: number;
  lora_alpha: number;
  target_modules: string[];
  bias: 'none';
  [key: string]: unknown;
}

const PEFT_PREFIX = 'base_model.model.';

/** Names of linear layers (without `.weight`): two-axis weights that are neither an embedding nor an adapter. */
function linearNames(params: Params): string[] {
  return Object.entries(params)
    .filter(
      ([name, x]) => x.rank === 2 && name.endsWith('.weight') && !/embed(ding|_tokens)|lora_/.test(name),
    )
    .map(([name]) => name.slice(0, -'.weight'.length));
}

/** New adapters for the linear layers that fit the patterns: `name.lora_A.weight` [rank, in], `name.lora_B.weight` [out, rank]. */
export function initLora(params: Params, { rank, patterns }: LoraConfig, seed: number): Params {
  if (!Number.isInteger(rank) || rank < 1)
    throw new Error(`LoRA's rank must be a positive integer, got ${rank}.`);
  const names = selectNames(linearNames(params), patterns);
  const root = random.key(seed);
  const adapters: Params = {};
  names.forEach((name, i) => {
    const [out, into] = param(params, `${name}.weight`).shape as [number, number];
    const bound = 1 / Math.sqrt(into);
    adapters[`${name}.lora_A.weight`] = tf.tidy(() =>
      tf.mul(tf.sub(random.uniform(random.foldIn(root, i), [rank, into]), 0.5), 2 * bound),
    );
    adapters[`${name}.lora_B.weight`] = tf.zeros([out, rank]);
  });
  root.dispose();
  return adapters;
}

const adapted = (adapters: Params) =>
  Object.keys(adapters)
    .filter((name) => name.endsWith('.lora_A.weight'))
    .map((name) => name.slice(0, -'.lora_A.weight'.length));

/** The parameters with adapters in effect: the layers add the low-rank path themselves. Differentiable in the adapters. */
export function withLora(
  params: Params,
  adapters: Params,
  { alpha, rank }: Pick<LoraConfig, 'alpha' | 'rank'>,
): Params {
  const scale = tf.scalar(alpha / rank);
  return {
    ...params,
    ...adapters,
    ...Object.fromEntries(adapted(adapters).map((name) => [`${name}.lora_scale`, scale])),
  };
}

/** Plain parameters with the adapters added in: same names as before, ready to save. */
export function mergeLora(
  params: Params,
  adapters: Params,
  { alpha, rank }: Pick<LoraConfig, 'alpha' | 'rank'>,
): Params {
  const merged: Params = { ...params };
  for (const name of adapted(adapters)) {
    const weight = param(params, `${name}.weight`);
    merged[`${name}.weight`] = tf.tidy(() => {
      const b = param(adapters, `${name}.lora_B.weight`) as tf.Tensor2D;
      const a = param(adapters, `${name}.lora_A.weight`) as tf.Tensor2D;
      return tf.add(weight, tf.mul(tf.matMul(b, a), alpha / rank));
    });
  }
  return merged;
}

/** Adapters as PEFT stores them: tensors for adapter_model.safetensors, and adapter_config.json. */
export function toPeft(
  adapters: Params,
  { rank, alpha }: Pick<LoraConfig, 'alpha' | 'rank'>,
): {
  tensors: Params;
  config: PeftConfig;
} {
  return {
    tensors: Object.fromEntries(Object.entries(adapters).map(([name, x]) => [PEFT_PREFIX + name, x])),
    config: {
      peft_type: 'LORA',
      r: rank,
      lora_alpha: alpha,
      target_modules: adapted(adapters),
      bias: 'none',
    },
  };
}

/** Reads adapters in PEFT's layout. Throws for what is no plain LoRA. */
export function fromPeft(
  tensors: Params,
  config: PeftConfig,
): { adapters: Params; rank: number; alpha: number } {
  if (config.peft_type !== 'LORA' || config.use_dora || config.use_rslora || config.bias !== 'none') {
    throw new Error(
      'adapter_config.json: only plain LoRA is read (no DoRA, rank-stabilised scale or biases).',
    );
  }
  const adapters: Params = {};
  for (const [name, x] of Object.entries(tensors)) {
    const known = name.startsWith(PEFT_PREFIX) && /\.lora_[AB]\.weight$/.test(name);
    if (!known) throw new Error(`Tensor '${name}' is not in PEFT's layout (${PEFT_PREFIX}….lora_A.weight).`);
    adapters[name.slice(PEFT_PREFIX.length)] = x;
  }
  for (const name of adapted(adapters)) {
    const a = param(adapters, `${name}.lora_A.weight`);
    const b = param(adapters, `${name}.lora_B.weight`);
    if (a.shape[0] !== config.r || b.shape[1] !== config.r) {
      throw new Error(`The adapter of '${name}' is not of rank ${config.r}: [${a.shape}] and [${b.shape}].`);
    }
  }
  return { adapters, rank: config.r, alpha: config.lora_alpha };
}
