/** flow-grpo inspect */
import { join } from 'node:path';
import { ConfigError, detectHacking, type EpochMetrics, resolveConfig } from '@flow-grpo/grpo-trainer';
import { readJsonLines } from '../logging/json-lines';

export interface InspectCommandOptions {
  readonly window?: string;
  readonly tolerance?: string;
}

/**
 * Checks the metrics of a run, finished or not, for signs of reward hacking, and prints each.
 *
 * @returns whether there are any
 * @throws {ConfigError} when the folder has no such metrics, or an option is not a number
 */
export async function inspectCommand(folder: string, options: InspectCommandOptions): Promise<boolean> {
  const numbers = Object.entries(options).map(([name, text]) => [name, Number(text)]);
  const { hacking } = resolveConfig({ hacking: Object.fromEntries(numbers) });
  const file = join(folder, 'metrics.jsonl');
  const epochs = await readJsonLines<EpochMetrics>(file);
  if (epochs.length === 0) throw new ConfigError(`${file} has no epoch in it`);
  const problems = inspect(epochs, hacking, file);
  const last = epochs.at(-1)!;
  console.log(
    problems.length > 0
      ? problems.map((problem) => `The reward may have been hacked: ${problem}`).join('\n')
      : `No sign of reward hacking in ${epochs.length} epochs (${last.samples} images).`,
  );
  return problems.length > 0;
}

function inspect(
  epochs: readonly EpochMetrics[],
  options: Parameters<typeof detectHacking>[1],
  file: string,
): string[] {
  try {
    return detectHacking(epochs, options);
  } catch (error) {
    throw new ConfigError(`${file}: ${(error as Error).message}`, { cause: error });
  }
}
