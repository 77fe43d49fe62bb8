/** flow-grpo inspect */
import { join } from 'node:path';
import { ConfigError, detectHacking, type EpochMetrics, resolveConfig } from '@flow-grpo/grpo-trainer';
import { readJsonLines } from '../logging/json-lines';

export interface InspectCommandOptions {
  readonly window?: string;
  readonly tolerance?: string;
}

/**
 * Looks through the metrics of a run, under way or over, for signs that its reward was hacked; prints each.
 *
 * @returns whether there is any
 * @throws {ConfigError} when the folder has no such metrics, or a number is none
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
      : `Nothing drifts far in ${epochs.length} epochs (${last.samples} images).`,
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
