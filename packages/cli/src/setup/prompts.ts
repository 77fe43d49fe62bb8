/** Prompts to train and evaluate on, from files or a data set of the hub. */
import { stat } from 'node:fs/promises';
import type { PromptExample } from '@flow-grpo/datasets';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { Showo2SetupOptions } from '../run-file/setup-schema';
import { PROMPT_FILES } from './needs';
import { optionalPackage } from './optional-package';
import type { SetupContext } from './setup';
import { openSource } from './sources';

type Choice = Pick<Showo2SetupOptions, 'dataset' | 'evalDataset' | 'evalPrompts' | 'promptColumn'>;

/**
 * Opens the prompts of a setup; they are held in memory.
 *
 * @throws {ConfigError} naming the option whose file is missing or not readable.
 */
export async function openPromptSets(
  choice: Choice,
  context: SetupContext = {},
): Promise<{ prompts: readonly PromptExample[]; evalPrompts?: readonly PromptExample[] }> {
  const { openPrompts } = await import('@flow-grpo/datasets').catch(() =>
    optionalPackage('@flow-grpo/datasets', 'setup.dataset'),
  );
  const columns = choice.promptColumn === undefined ? {} : { promptColumn: choice.promptColumn };
  const place = (option: string, given: string) =>
    openSource(given, option, (file) => PROMPT_FILES.test(file), context, 'dataset');
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
  const dataset = await place('setup.dataset', choice.dataset);
  const prompts = await read('setup.dataset', dataset, 'train');
  const { evalPrompts: limit } = choice;
  if (choice.evalDataset !== undefined) {
    const evalDataset = await place('setup.evalDataset', choice.evalDataset);
    return { prompts, evalPrompts: await read('setup.evalDataset', evalDataset, 'test', limit) };
  }
  const isFolder = (await stat(dataset)).isDirectory();
  // A folder may come without a test file; then there are no evaluations.
  const test = isFolder
    ? await read('setup.dataset', dataset, 'test', limit).catch(() => undefined)
    : undefined;
  return test ? { prompts, evalPrompts: test } : { prompts };
}
