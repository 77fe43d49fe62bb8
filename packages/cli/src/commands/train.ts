/** flow-grpo train */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { abortOnSignals, isAbort } from '@flow-grpo/grpo-trainer/node';
import { runPerson } from '../human/run-person';
import { progressLine } from '../logging/progress-line';
import { placeInRun } from '../processes/place';
import type { HostsQuestion } from '../run/hosts-estimate';
import type { ObserverOptions } from '../run/observers';
import { checkOutput } from '../run/output-folder';
import { planRun } from '../run/plan-run';
import { trainRun } from '../run/train-run';
import { explained } from '../run-file/origins';
import type { SetupContext } from '../setup/setup';
import { exitCodeOf, InterruptedError } from './failure';
import {
  checkBackendName,
  checkPlace,
  leaveRun,
  openRun,
  readRun,
  runProcesses,
  type SharedOptions,
} from './shared';

export interface TrainCommandOptions extends SharedOptions, ObserverOptions {
  readonly resume: string | false;
  readonly allowChanged: readonly string[];
  readonly takeOver?: boolean;
  /** Print the plan and exit. */
  readonly dryRun?: boolean;
  /** With `dryRun`: estimate the run on this many machines, with this bandwidth in GB/s. */
  readonly hosts?: string;
  readonly bandwidth?: string;
  /** Compile the programs for that; with false it is calculated alone. */
  readonly compile: boolean;
}

/** GB/s between machines, unless `--bandwidth` says otherwise. */
const BANDWIDTH = '25';

export async function trainCommand(file: string | undefined, options: TrainCommandOptions): Promise<void> {
  const line = progressLine();
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: saving what is done, then exiting; repeat to exit now`),
  );
  try {
    checkHostsFlag(options);
    if (options.dryRun) return await showPlan(file, options, { signal, onMessage: line.note });
    const person = options.ui ? runPerson() : undefined;
    const { run, made } = await openRun(file, options, { signal, onMessage: line.note, person });
    const result = await explained(run.origins, () =>
      trainRun(run, made, { ...options, signal, person, group: runProcesses() }, line),
    );
    leaveRun(); // with whatever status this process ends: all of them have come to this
    process.exitCode = exitCodeOf(result.reason) || undefined;
    const { trained: _, ema: __, ...told } = result;
    if (options.json) console.log(JSON.stringify(told));
  } catch (error) {
    if (!isAbort(error, signal)) throw error;
    throw new InterruptedError('interrupted before training started');
  } finally {
    line.end();
    release();
  }
}

/** @throws {ConfigError} where machines are asked about, and training would begin instead, or nothing is asked about them */
function checkHostsFlag({ hosts, dryRun, bandwidth, compile }: TrainCommandOptions): void {
  if (hosts === undefined) {
    if (bandwidth !== undefined)
      throw new ConfigError(`--bandwidth ${bandwidth} needs --dry-run --hosts <n>`);
    if (!compile) throw new ConfigError('--no-compile needs --dry-run --hosts <n>');
    return;
  }
  if (dryRun) return;
  throw new ConfigError(
    `--hosts ${hosts} estimates a run on other machines and needs --dry-run; to train on several, start a process on each`,
  );
}

function hostsQuestion({
  hosts,
  bandwidth = BANDWIDTH,
  compile,
}: TrainCommandOptions): HostsQuestion | undefined {
  if (hosts === undefined) return undefined;
  const [count, gigabytes] = [Number(hosts), Number(bandwidth)];
  if (!Number.isInteger(count) || count < 1)
    throw new ConfigError(`--hosts ${hosts}: give a whole number of at least 1`);
  if (!(gigabytes > 0)) throw new ConfigError(`--bandwidth ${bandwidth}: give gigabytes per second`);
  return { hosts: count, bandwidth: gigabytes * 1e9, compile };
}

/** @throws {ConfigError} when something is missing, after what can be told without it. */
async function showPlan(
  file: string | undefined,
  options: TrainCommandOptions,
  context: SetupContext,
): Promise<void> {
  checkBackendName(options.backend);
  checkPlace(options.backend, placeInRun(options, process.env));
  const run = await readRun(file, options);
  await explained(run.origins, async () => {
    await checkOutput(run.output);
    const { text, missing } = await planRun(run, context, hostsQuestion(options));
    console.log(options.json ? JSON.stringify({ plan: text, missing }) : text);
    if (missing.length > 0) throw new ConfigError(`\nMissing:\n${missing.join('\n')}`);
  });
}
