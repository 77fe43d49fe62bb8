/** What the subcommands share: their options, and a run opened by them. */

import { ConfigError } from '@flow-grpo/grpo-trainer';
import { BACKEND_HELP, backendProblem, loadBackend, startBackend } from '@flow-grpo/rewards/backend';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo, hasCompiler } from '@flow-grpo/tfjs-jit';
import type { Command } from 'commander';
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
  /** The result as one line of JSON on standard output; what is for people stays on standard error. */
  readonly json?: boolean;
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
    .option('--setup <kind>', 'toy, or a module that makes policy, prompts and scorer')
    .option('-o, --output <folder>', "the run's folder")
    .option('--backend <xla|tensorflow|wasm|cpu>', BACKEND_HELP, 'xla')
    .option('--json', 'print the result as one line of JSON; messages go to standard error');
  return addConfigFlags(command);
}

/** The run that a command line describes: its file, then -s, then the flags. */
export function readRun(file: string | undefined, options: SharedOptions): Promise<RunFile> {
  if (file !== undefined && options.config !== undefined && file !== options.config) {
    throw new ConfigError(`two files of options: ${file} and --config ${options.config}; give one`);
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
    await useBackend(options.backend, run.config.devices);
    const { adapter: folder } = options;
    const adapter = typeof folder === 'string' ? await loadAdapter('--adapter', folder) : undefined;
    return { run, made: await makeSetup(run.setup, { ...context, adapter }) };
  });
}

/**
 * That there is such a backend, before anything else is done.
 *
 * @throws {ConfigError} with those that there are.
 */
export function checkBackendName(name: string): void {
  const problem = backendProblem(name);
  if (problem !== undefined) throw new ConfigError(`--backend: ${problem}`);
}

/**
 * Starts a backend with at least `devices` devices; XLA's CPU plugin makes as many as are asked for.
 *
 * @throws {ConfigError} when the backend is not there, does not start, or has fewer devices.
 */
export async function useBackend(name: string, devices = 1): Promise<void> {
  checkBackendName(name);
  try {
    await loadBackend(name);
    if (name === 'xla' && devices > 1 && !hasCompiler()) configure({ cpuDevices: devices });
    await startBackend(name);
  } catch (error) {
    throw new ConfigError((error as Error).message, { cause: error });
  }
  const there = deviceInfo().length;
  if (there < devices) {
    throw new ConfigError(`devices: ${devices} are asked for, and backend ${name} has ${there}`);
  }
}

/** A part of a setup that a command cannot do without. */
export function need<T>(
  value: T | undefined,
  what: string,
  run: { readonly setup: { readonly kind: string } },
): T {
  if (value === undefined) throw new ConfigError(`setup ${run.setup.kind} gives no ${what}`);
  return value;
}
