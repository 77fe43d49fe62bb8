/** Checks that everything a setup reads is available, before anything is loaded or downloaded. */
import { createRequire } from 'node:module';
import { type FoundFiles, findFiles, MissingFilesError, type RequiredFiles } from '@flow-grpo/checkpoint-io';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import type { ChosenReward } from '@flow-grpo/rewards/registry';
import { bytes } from '../run/start-table';
import type { ModelSetupOptions, RewardChoice, SetupChoice } from '../run-file/setup-schema';
import { loraOf } from '../run-file/train-schema';
import { moduleProblem } from './import-module';
import { requiredAdapter } from './lora';
import { isModelSetup, modelRequiredFiles } from './models';
import { requiredPrompts } from './prompts';
import { findRewards } from './rewards';
import type { SetupContext } from './setup';

/** Something that a run's file names and that is there. */
export interface FoundSource {
  /** The option that names it, e.g. `setup.model`. */
  readonly option: string;
  readonly place: string;
  /** Where it is, in words. */
  readonly state: string;
  /** Bytes that a run would download. */
  readonly download: number;
}

/** A server that does not answer within this time is taken to be down. */
const SERVER_MILLISECONDS = 10_000;

/**
 * Finds the checkpoints, prompts and servers of a setup. Folders and hub repositories must have the files that will be read,
 * servers must respond, and the file of your own module must exist.
 *
 * @throws {ConfigError} with one line for each thing that is missing: the option, the place, and where to get it.
 */
export async function checkSetup(choice: SetupChoice, context: SetupContext = {}): Promise<FoundSource[]> {
  if (isModelSetup(choice)) return checkModel(choice, context);
  if (choice.kind !== 'module') return [];
  const problem = await moduleProblem(choice.path);
  if (problem !== undefined) throw new ConfigError(`setup.path: ${problem}`);
  return [{ option: 'setup.path', place: choice.path, state: 'module', download: 0 }];
}

/** The same for the options of a model. */
export async function checkModel(
  options: ModelSetupOptions,
  context: SetupContext = {},
): Promise<FoundSource[]> {
  const { signal } = context;
  const start = loraOf(options.train)?.start;
  const parts = await modelRequiredFiles(options, context);
  const looks = [
    ...parts.map((part) => lookForFiles({ ...part, option: `setup.${part.option}` }, context)),
    ...requiredPrompts(options).map((required) => lookForFiles(required, context)),
    ...(start === undefined ? [] : [lookForFiles(requiredAdapter('setup.train.lora.start', start), context)]),
    ...(['reward', 'evalRewards'] as const).flatMap((option) =>
      Object.entries(options[option] ?? {}).map(([key, entry]) =>
        lookForReward(option, key, { [key]: entry }, context),
      ),
    ),
  ];
  const looked = await Promise.allSettled(looks);
  signal?.throwIfAborted();
  const told = new Set<string>(); // a folder that is not there at all is missing once
  const missing = looked.flatMap((result) => {
    if (result.status === 'fulfilled') return [];
    return problemsOf(result.reason).flatMap(({ problem, line }) => {
      if (told.has(problem)) return [];
      told.add(problem);
      return [line];
    });
  });
  if (missing.length > 0) throw new ConfigError(missing.join('\n'));
  return looked.flatMap((result) => (result as PromiseFulfilledResult<FoundSource[]>).value);
}

/** What is missing, without and with the option and where to get it. */
function problemsOf(error: unknown): { problem: string; line: string }[] {
  if (error instanceof AggregateError) return error.errors.flatMap(problemsOf);
  const { message } = error as Error;
  if (!(error instanceof MissingFilesError)) return [{ problem: message, line: message }];
  return [{ problem: error.problem, line: `${error.required.option}: ${message}` }];
}

async function lookForFiles(required: RequiredFiles, { signal }: SetupContext): Promise<FoundSource[]> {
  const found = await findFiles(required, signal ? { signal } : {});
  const { option, source: place } = required;
  return [{ option, place, state: inWords(found), download: found.downloadBytes }];
}

function inWords({ kind, bytes: size, downloadBytes }: FoundFiles): string {
  if (kind !== 'hub') return `${kind}, ${bytes(size)}`;
  const cached = `${bytes(size - downloadBytes)} in the cache`;
  return downloadBytes > 0 ? `hub, ${bytes(downloadBytes)} to download, ${cached}` : `hub, ${cached}`;
}

/** The module, files, package and server of one reward. Throws an AggregateError of all that is missing. */
async function lookForReward(
  option: string,
  key: string,
  choice: RewardChoice,
  context: SetupContext,
): Promise<FoundSource[]> {
  const results = await Promise.allSettled(
    (await findRewards(choice, option)).flatMap((reward) =>
      looksOf(`setup.${option}.${key}`, reward, context),
    ),
  );
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  if (errors.length > 0) throw new AggregateError(errors);
  return results.flatMap((result) => (result as PromiseFulfilledResult<FoundSource[]>).value);
}

function looksOf(name: string, { definition, options }: ChosenReward, context: SetupContext) {
  const { requiredFiles, requiredPackage, serverOption } = definition;
  const looks = (requiredFiles?.(options) ?? []).map((required) =>
    lookForFiles({ ...required, option: `${name}.${required.option}` }, context),
  );
  if (requiredPackage !== undefined) looks.push(lookForPackage(name, requiredPackage));
  const url = serverOption === undefined ? undefined : options[serverOption];
  if (typeof url === 'string') looks.push(lookForServer(`${name}.${serverOption}`, url));
  return looks;
}

async function lookForServer(option: string, url: string): Promise<FoundSource[]> {
  try {
    const response = await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(SERVER_MILLISECONDS) });
    return [{ option, place: url, state: `answers (${response.status})`, download: 0 }];
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code : message;
    throw new ConfigError(
      `${option}: ${url} does not respond (${reason}). Start it first: https://github.com/yifan123/reward-server has flow_grpo’s servers.`,
      { cause: error },
    );
  }
}

async function lookForPackage(option: string, name: string): Promise<FoundSource[]> {
  try {
    createRequire(import.meta.url).resolve(name);
    return [{ option, place: name, state: 'installed', download: 0 }];
  } catch (error) {
    throw new ConfigError(`${option}: the package ${name} is not installed. npm install ${name}`, {
      cause: error,
    });
  }
}
