/** What the subcommands share: their options, and opening a run. */

import { ConfigError, type ProcessGroup } from '@flow-grpo/grpo-trainer';
import { BACKEND_HELP, backendProblem, loadBackend, startBackend } from '@flow-grpo/rewards/backend';
import { cluster, configure } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo, hasCompiler } from '@flow-grpo/tfjs-jit';
import type { Command } from 'commander';
import { joining } from '../processes/join';
import type { ProcessPlace } from '../processes/place';
import { checkOutput } from '../run/output-folder';
import { explained } from '../run-file/origins';
import { readRunFile } from '../run-file/read';
import type { RunFile } from '../run-file/schema';
import { loadAdapter } from '../setup/lora';
import { makeSetup } from '../setup/make-setup';
import type { RunSetup, SetupContext } from '../setup/setup';
import { addConfigFlags, flagOverrides } from './flags';

export interface SharedOptions {
  readonly backend: string;
  readonly set: readonly string[];
  readonly config?: string;
  readonly setup?: string;
  readonly output?: string;
  /** On GPUs: a fixed order of sums, and no algorithms chosen by trial. */
  readonly deterministic?: boolean;
  /** Print the result as one line of JSON on standard output; messages go to standard error. */
  readonly json?: boolean;
  /** This process's place in a run of several, where no launcher gives it. */
  readonly coordinator?: string;
  readonly process?: string;
  readonly processes?: string;
  /** Flags of single options, by their path. */
  readonly [flag: string]: unknown;
}

/** For an option that may be repeated. */
export const collectValues = (value: string, previous: string[]) => [...previous, value];

export function addSharedOptions(command: Command): Command {
  command
    .argument('[file]', 'YAML file of options; see flow-grpo schema')
    .option('--config <file>', 'the same')
    .option('-s, --set <key=value>', 'override an option, e.g. setup.model=./show-o2', collectValues, [])
    .option('--setup <kind>', 'toy, or a module that provides policy, prompts and scorer')
    .option('-o, --output <folder>', "the run's folder")
    .option('--backend <xla|tensorflow|wasm|cpu>', BACKEND_HELP, 'xla')
    .option(
      '--deterministic',
      'on GPUs, the same bits in every run, perhaps more slowly; CPUs compute so anyway',
    )
    .option('--json', 'print the result as one line of JSON; messages go to standard error');
  return addConfigFlags(command);
}

/** The run that a command line describes: its file, then -s, then the flags. */
export function readRun(file: string | undefined, options: SharedOptions): Promise<RunFile> {
  if (file !== undefined && options.config !== undefined && file !== options.config) {
    throw new ConfigError(`two run files: ${file} and --config ${options.config}; give one`);
  }
  const named = (['setup', 'output'] as const).flatMap((key) =>
    options[key] === undefined ? [] : [`${key}=${JSON.stringify(options[key])}`],
  );
  return readRunFile(file ?? options.config, [...options.set, ...named, ...flagOverrides(options)]);
}

/** Starts the backend and makes the run's setup. */
export async function openRun(
  file: string | undefined,
  options: SharedOptions,
  context?: SetupContext,
): Promise<{ run: RunFile; made: RunSetup }> {
  checkBackendName(options.backend);
  const run = await readRun(file, options);
  return explained(run.origins, async () => {
    await checkOutput(run.output);
    if (options.deterministic) configure({ deterministic: true });
    await useBackend(options.backend, run.config.devices, await joining(options));
    const { adapter: folder } = options;
    const adapter = typeof folder === 'string' ? await loadAdapter('--adapter', folder) : undefined;
    return { run, made: await makeSetup(run.setup, { ...context, adapter }) };
  });
}

/**
 * Checks that the backend exists, before anything else is done.
 *
 * @throws {ConfigError} that lists the backends there are
 */
export function checkBackendName(name: string): void {
  const problem = backendProblem(name);
  if (problem !== undefined) throw new ConfigError(`--backend: ${problem}`);
}

/** @throws {ConfigError} when the backend cannot be one of several processes */
export function checkPlace(backend: string, place: ProcessPlace | undefined): void {
  if (place && backend !== 'xla') {
    throw new ConfigError(
      `--backend ${backend} runs in a single process; ${place.numProcesses} processes need xla`,
    );
  }
}

/** The place of a process in a run of several, for commands that such a run has. */
export const addPlaceOptions = (command: Command): Command =>
  command
    .option('--coordinator <host:port>', 'where process 0 of several listens; set by launchers')
    .option('--process <i>', "this process's number, from 0")
    .option('--processes <n>', 'number of processes');

/**
 * Starts a backend with `devices` devices; other GPUs are left alone, and XLA's CPU plugin makes as many as requested.
 *
 * @param place of this process among several: the devices are then those of all processes
 * @throws {ConfigError} when the backend is missing, does not start, or has fewer devices; several processes must use all.
 */
export async function useBackend(
  name: string,
  devices?: number,
  place?: Awaited<ReturnType<typeof joining>>,
): Promise<void> {
  checkBackendName(name);
  checkPlace(name, place);
  try {
    await loadBackend(name);
    if (place) {
      const { distributed, clientOptions } = place;
      configure({ distributed, ...(clientOptions && { clientOptions }) });
    } else if (name === 'xla' && devices !== undefined && !hasCompiler()) configure({ devices });
    await startBackend(name);
  } catch (error) {
    throw new ConfigError((error as Error).message, { cause: error });
  }
  const there = deviceInfo().length;
  if (place && devices !== undefined && there !== devices) {
    throw new ConfigError(
      `devices: ${place.numProcesses} processes have ${there} devices in total, and the run asks for ${devices}: set devices=${there}`,
    );
  }
  if (devices !== undefined && there < devices) {
    throw new ConfigError(`devices: the run asks for ${devices}, and backend ${name} has ${there}`);
  }
}

/** The processes that share this one's backend; undefined where it is alone. */
export const runProcesses = (): ProcessGroup | undefined => cluster();

/** Tells the other processes of a run that this one is done. */
export function leaveRun(): void {
  cluster()?.leave();
}

/** A part of a setup that a command cannot do without. */
export function need<T>(
  value: T | undefined,
  what: string,
  run: { readonly setup: { readonly kind: string } },
): T {
  if (value === undefined) throw new ConfigError(`setup ${run.setup.kind} provides no ${what}`);
  return value;
}
