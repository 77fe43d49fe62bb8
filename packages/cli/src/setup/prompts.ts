/** Prompts to train and evaluate on, from files or a data set of the hub. */
import { readdir } from 'node:fs/promises';
import type { RequiredFiles } from '@flow-grpo/checkpoint-io';
import type { PromptExample } from '@flow-grpo/datasets';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { Showo2SetupOptions } from '../run-file/setup-schema';
import { optionalPackage } from './optional-package';
import type { SetupContext } from './setup';
import { openSource } from './sources';

const PROMPT_FILE = /^(train|test)(_metadata)?\.(txt|jsonl|csv|tsv|parquet)$/;
/** The files that `openPrompts` looks for. */
const TEST_FILE = /^test(_metadata\.jsonl|\.(txt|jsonl|csv|tsv|parquet))$/;

/** The prompts of a folder or data set, which must have some of this split; a file is what it is. */
function promptFiles(option: string, source: string, split: string) {
  const isSplit = new RegExp(`^${split}(_metadata)?\\.`);
  return {
    option,
    source,
    repoType: 'dataset',
    files: {
      prompts: {
        what: `${split}.txt or ${split}_metadata.jsonl`,
        main: true,
        choose: (names) => {
          const files = names.filter((name) => PROMPT_FILE.test(name));
          return files.some((name) => isSplit.test(name)) ? files : [];
        },
      },
    },
    hint: "flow_grpo's prompts (pickscore, geneval, ocr) are the folders of https://github.com/yifan123/flow_grpo/tree/main/dataset; your own file has one prompt per line.",
  } satisfies RequiredFiles;
}

/** What the prompts of a setup are read from. */
export function requiredPrompts({ dataset, evalDataset }: Choice): RequiredFiles[] {
  const training = promptFiles('setup.dataset', dataset, 'train');
  return evalDataset === undefined
    ? [training]
    : [training, promptFiles('setup.evalDataset', evalDataset, 'test')];
}

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
  const [training, evaluation] = requiredPrompts(choice);
  const read = async (option: string, path: string, split: string, limit = Number.POSITIVE_INFINITY) => {
    try {
      const set = await openPrompts(path, { split, ...columns });
      const count = Math.min(set.length, limit);
      return await set.read(Array.from({ length: count }, (_, i) => i)).finally(() => set.close());
    } catch (error) {
      throw new ConfigError(`${option}: ${(error as Error).message}`, { cause: error });
    }
  };
  const { place: dataset } = await openSource(training!, context);
  const prompts = await read('setup.dataset', dataset, 'train');
  const { evalPrompts: limit } = choice;
  if (evaluation !== undefined) {
    const { place: evalDataset } = await openSource(evaluation, context);
    return { prompts, evalPrompts: await read('setup.evalDataset', evalDataset, 'test', limit) };
  }
  // A folder may come without a test file; then there are no evaluations.
  const hasTest = (await readdir(dataset).catch(() => [])).some((name) => TEST_FILE.test(name));
  return hasTest
    ? { prompts, evalPrompts: await read('setup.dataset', dataset, 'test', limit) }
    : { prompts };
}
