/** The plan of a run, made without loading a model. */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { AnyAlgorithm } from '@flow-grpo/grpo-trainer/algorithms';
import type { RunFile } from '../run-file/schema';
import { checkSetup } from '../setup/check';
import { modelSizes } from '../setup/model-sizes';
import { isModelSetup } from '../setup/models';
import { placeholderPolicy } from '../setup/placeholder-policy';
import type { SetupContext } from '../setup/setup';
import { compileForHosts, type HostPrograms } from './host-programs';
import { estimateHosts, type HostsQuestion, hostsTable, onHosts } from './hosts-estimate';
import { type ModelSizes, memoryOf } from './memory-estimate';
import { bytes, startTable, textTable } from './start-table';
import { secondsPerEpoch } from './train-run';

export interface RunPlan {
  /** Where everything is, samples, steps, updates, memory and time, as text. */
  readonly text: string;
  /** One line for each thing that is missing, with where to get it; a run would fail with these. */
  readonly missing: readonly string[];
}

/**
 * The plan of a run: where its checkpoints, prompts and rewards are; samples, steps and updates; the memory, estimated from
 * the model's configuration; and the time, if an earlier part of the run has measured it. Needs no backend, and downloads
 * at most a configuration.
 *
 * @param question also estimate the run on several machines, each with `config.devices` devices
 * @throws {ConfigError} when that is asked of a setup whose model's sizes nobody knows
 */
export async function planRun(
  run: RunFile,
  context: SetupContext = {},
  question?: HostsQuestion,
): Promise<RunPlan> {
  const { setup, config, output } = run;
  if (question && !isModelSetup(setup)) {
    throw new ConfigError(
      `--hosts needs the sizes of the model, which are known of showo2 and z-image, and not of setup ${setup.kind}`,
    );
  }
  const sources = await orProblems(checkSetup(setup, context));
  // The configuration may be there where other things are not.
  const sizes = isModelSetup(setup) ? await orProblems(modelSizes(setup, context)) : undefined;
  const memory = sizes && !(sizes instanceof ConfigError) ? memoryOf(sizes, config) : undefined;
  const measured = await secondsPerEpoch(output);
  const own = startTable(run, memory, { measured });
  const table =
    question && sizes && !(sizes instanceof ConfigError)
      ? `${own}\n\n${await hostsText(run, sizes, { seconds: measured, ...question }, context)}`
      : own;
  if (sources instanceof ConfigError) return { text: table, missing: sources.message.split('\n') };
  const download = sources.reduce((total, source) => total + source.download, 0);
  const rows = sources.map(
    ({ option, place, state }) => [option.replace('setup.', ''), `${place} (${state})`] as const,
  );
  const text = [
    ...(rows.length > 0 ? [textTable(rows)] : []),
    ...(download > 0 ? [`${bytes(download)} will be downloaded first.`] : []),
    table,
  ].join('\n\n');
  return { text, missing: sizes instanceof ConfigError ? sizes.message.split('\n') : [] };
}

/** What many hosts would need; where nothing can be compiled, as far as it can be calculated, and why. */
async function hostsText(
  { setup, config, algorithm }: RunFile & { readonly algorithm?: AnyAlgorithm },
  sizes: ModelSizes,
  question: HostsQuestion,
  context: SetupContext,
): Promise<string> {
  const tell = (programs?: HostPrograms) =>
    hostsTable(question, estimateHosts(sizes, config, question, programs));
  if (!question.compile || !isModelSetup(setup)) return tell();
  try {
    const policy = await placeholderPolicy(setup, context);
    const { hosts } = question;
    return tell(await compileForHosts(policy, onHosts(config, hosts), hosts, algorithm));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    return `${tell()}\n\nThe programs could not be compiled: ${(error as Error).message}`;
  }
}

function orProblems<T>(made: Promise<T>): Promise<T | ConfigError> {
  return made.catch((error) => {
    if (error instanceof ConfigError) return error;
    throw error;
  });
}
