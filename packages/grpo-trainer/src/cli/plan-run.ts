/** What a run would do, found out without loading a model. */
import type { RunFile } from '../config/run-file';
import { checkSetup } from '../setup/check';
import type { SetupContext } from '../setup/setup';
import { showo2Sizes } from '../setup/showo2-sizes';
import { memoryOf } from './estimates';
import { bytes, startTable, textTable } from './start-table';
import { secondsAnEpoch } from './train-run';

/**
 * The plan of a run as text: where its checkpoints, prompts and rewards are, samples, steps and updates, the memory that
 * follows from the model's configuration, and the time where an earlier part of the run has measured it. Needs no
 * backend and downloads no more than a configuration.
 *
 * @throws {ConfigError} with a line for everything that is missing, saying where to get it.
 */
export async function planRun(run: RunFile, context: SetupContext = {}): Promise<string> {
  const { setup, config, output } = run;
  const sources = await checkSetup(setup, context);
  const sizes = setup.kind === 'showo2' ? await showo2Sizes(setup, context) : undefined;
  const download = sources.reduce((total, source) => total + source.download, 0);
  const rows = sources.map(
    ({ option, place, state }) => [option.replace('setup.', ''), `${place} (${state})`] as const,
  );
  return [
    ...(rows.length > 0 ? [textTable(rows)] : []),
    ...(download > 0 ? [`${bytes(download)} will be downloaded first.`] : []),
    startTable(run, sizes && memoryOf(sizes, config), await secondsAnEpoch(output)),
  ].join('\n\n');
}
