/** LoRA in the layout of diffusers' `save_lora_weights`: one file, whose header holds PEFT's configuration. */
import type { Tensor } from '@tensorflow/tfjs-core';
import { fromPeft, type LoadedLora, toPeft } from './layout';

type Params = Record<string, Tensor>;

/** What diffusers calls the file. */
export const DIFFUSERS_FILE = 'pytorch_lora_weights.safetensors';
/** The part of a pipeline that adapters belong to, in front of every name, and what stands there in PEFT's layout. */
const PART = 'transformer.';
const PEFT = 'base_model.model.';
/** Where the header holds the configuration: JSON as text, the part in front of each of its keys. */
const METADATA = 'lora_adapter_metadata';

/** The record with `from` in front of its names, which have no other, replaced by `to`. */
const renamed = <T>(record: Readonly<Record<string, T>>, from: string, to: string): Record<string, T> =>
  Object.fromEntries(
    Object.entries(record).map(([name, value]) => [
      name.startsWith(from) ? to + name.slice(from.length) : name,
      value,
    ]),
  );

/** Adapters as diffusers stores them: tensors and header of pytorch_lora_weights.safetensors. */
export function toDiffusers(lora: LoadedLora): { tensors: Params; metadata: Record<string, string> } {
  const { tensors, config } = toPeft(lora);
  const text = JSON.stringify(renamed(config, '', PART), null, 2);
  return { tensors: renamed(tensors, PEFT, PART), metadata: { format: 'pt', [METADATA]: text } };
}

/**
 * Reads adapters in diffusers' layout; `source` names the file in errors. A header without a configuration means alpha = rank,
 * as in diffusers.
 *
 * @throws as `fromPeft` does, and for tensors of another part than the transformer
 */
export function fromDiffusers(
  tensors: Params,
  metadata: Readonly<Record<string, unknown>>,
  source: string = DIFFUSERS_FILE,
): LoadedLora {
  const stray = Object.keys(tensors).filter((name) => !name.startsWith(PART));
  if (stray.length > 0) {
    throw new Error(
      `${source}: not in diffusers' layout (${PART}….lora_A.weight): ${stray.slice(0, 5).join(', ')}.`,
    );
  }
  return fromPeft(renamed(tensors, PART, PEFT), configOf(tensors, metadata[METADATA], source), source);
}

function configOf(tensors: Params, stored: unknown, source: string): Record<string, unknown> {
  if (stored === undefined) {
    const [, down] = Object.entries(tensors).find(([name]) => name.endsWith('.lora_A.weight')) ?? [];
    if (!down) throw new Error(`${source} holds no adapters (….lora_A.weight).`);
    return { peft_type: 'LORA', r: down.shape[0], lora_alpha: down.shape[0] };
  }
  try {
    const config = JSON.parse(String(stored)) as Record<string, unknown>;
    const own = Object.entries(config).filter(([name]) => name.startsWith(PART));
    return renamed(Object.fromEntries(own), PART, '');
  } catch (error) {
    const reason = (error as Error).message;
    throw new Error(`${METADATA} in the header of ${source} cannot be read as JSON: ${reason}`, {
      cause: error,
    });
  }
}
