/** Files of numbers that a Python script wrote from the published code: `reference/showo2.py`, `reference/reward.py`. */
import { openCheckpoint } from '@flow-grpo/checkpoint-io';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import * as tf from '@tensorflow/tfjs-core';

export interface Reference {
  readonly tensors: Readonly<Record<string, tf.Tensor>>;
  readonly prompts: readonly string[];
}

/**
 * Reads the tensors and prompts of a reference file; the caller disposes of the tensors.
 *
 * @throws {ConfigError} when it cannot be read, or lacks one of `names`.
 */
export async function readReference(
  file: string,
  names: readonly string[],
  script: string,
): Promise<Reference> {
  const problem = (what: string) =>
    new ConfigError(
      `--reference ${file}: ${what}; reference/${script} of the package flow-grpo writes such a file`,
    );
  const checkpoint = await openCheckpoint(file).catch((error: Error) => {
    throw problem(error.message);
  });
  try {
    const missing = names.filter((name) => !checkpoint.has(name));
    if (missing.length > 0) throw problem(`has no ${missing.join(', ')}`);
    const prompts = promptsIn(checkpoint.metadata.prompts);
    if (prompts === undefined) throw problem('its metadata holds no prompts, a JSON list of texts');
    const tensors: Record<string, tf.Tensor> = {};
    try {
      for (const name of names) tensors[name] = await checkpoint.read(name);
    } catch (error) {
      tf.dispose(tensors);
      throw problem((error as Error).message);
    }
    return { tensors, prompts };
  } finally {
    await checkpoint.close();
  }
}

function promptsIn(text: unknown): string[] | undefined {
  try {
    const list: unknown = JSON.parse(String(text));
    return Array.isArray(list) && list.every((one) => typeof one === 'string') ? list : undefined;
  } catch {
    return undefined;
  }
}
