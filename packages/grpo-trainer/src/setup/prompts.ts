/** Prompts to train and evaluate on, from files. */
import { stat } from 'node:fs/promises';
import { ConfigError } from '../config/resolve';
import type { Showo2SetupOptions } from '../config/setup-schema';
import type { PromptSource } from '../scorer';
import { optionalPackage } from './optional-package';

type Choice = Pick<Showo2SetupOptions, 'dataset' | 'evalDataset' | 'evalPrompts' | 'promptColumn'>;

/**
 * Opens the prompts of a setup; they are held in memory.
 *
 * @throws {ConfigError} naming the option whose file is missing or not readable.
 */
export async function openPromptSets(
  choice: Choice,
): Promise<{ prompts: PromptSource; evalPrompts?: PromptSource }> {
  const { openPrompts } = await import('@flow-grpo/datasets').catch(() =>
    optionalPackage('@flow-grpo/datasets', 'setup.dataset'),
  );
  const columns = choice.promptColumn === undefined ? {} : { promptColumn: choice.promptColumn };
  const read = async (option: string, path: string, split: string, limit = Number.POSITIVE_INFINITY) => {
    try {
      const set = await openPrompts(path, { split, ...columns });
      const count = Math.min(set.length, limit);
      const examples = await set.read(Array.from({ length: count }, (_, i) => i));
      await set.close();
      return examples;
    } catch (error) {
      throw new ConfigError(`${option}: ${(error as Error).message}`, { cause: error });
    }
  };
  const prompts = await read('setup.dataset', choice.dataset, 'train');
  const { evalDataset, evalPrompts: limit } = choice;
  if (evalDataset !== undefined) {
    return { prompts, evalPrompts: await read('setup.evalDataset', evalDataset, 'test', limit) };
  }
  const isFolder = (await stat(choice.dataset)).isDirectory();
  // A folder may come without a test file; then there are no evaluations.
  const test = isFolder
    ? await read('setup.dataset', choice.dataset, 'test', limit).catch(() => undefined)
    : undefined;
  return test ? { prompts, evalPrompts: test } : { prompts };
}
