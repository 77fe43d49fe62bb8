/** What command.xla.test.ts runs in each process: the command, which finds its place as a launcher gives it. */
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { Emulation } from '@flow-grpo/test-support/processes';
import { main } from '../commands/main';

/** A command, and how its processes are told their places. */
export interface Command {
  readonly launcher: 'none' | 'torchrun' | 'Slurm' | 'Open MPI' | 'Kubernetes' | 'flags';
  readonly args: readonly string[];
  /** The folder of compiled programs. */
  readonly programs: string;
  /** The process that gets SIGINT once the file has so many lines. */
  readonly interrupt?: { readonly process: number; readonly file: string; readonly lines: number };
}

/** How a process's command ended. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const { id, processes, client, argument } = workerData as Emulation;
const { launcher, args, programs, interrupt } = argument as Command;
const [host, port] = client.distributed.coordinator.split(':') as [string, string];
const meeting = { MASTER_ADDR: host, MASTER_PORT: port };
const [own, all] = [`${id}`, `${processes}`];

const variables: Record<Command['launcher'], Record<string, string>> = {
  none: {},
  flags: {},
  torchrun: { ...meeting, RANK: own, WORLD_SIZE: all },
  Slurm: {
    ...meeting,
    ...{ SLURM_PROCID: own, SLURM_STEP_NUM_TASKS: all, SLURM_STEP_NODELIST: 'node[1-2]', SLURM_JOB_ID: '7' },
    ...{ SLURM_LOCALID: '0', SLURM_NODEID: own, SLURM_STEP_TASKS_PER_NODE: `1(x${all})` },
  },
  'Open MPI': { ...meeting, OMPI_COMM_WORLD_RANK: own, OMPI_COMM_WORLD_SIZE: all },
  Kubernetes: { ...meeting, JOB_COMPLETION_INDEX: own, WORLD_SIZE: all },
};
Object.assign(process.env, variables[launcher], {
  FLOW_GRPO_SECRET: client.distributed.secret,
  PJRT_PLUGIN_LIBRARY_PATH: client.plugin,
  FLOW_GRPO_XLA_CACHE: programs,
});
const flags =
  launcher === 'flags' ? ['--coordinator', `${host}:${port}`, '--process', own, '--processes', all] : [];

const said = { stdout: '', stderr: '' };
for (const name of ['stdout', 'stderr'] as const) {
  process[name].write = ((text: string | Uint8Array) => {
    said[name] += text;
    return true;
  }) as typeof process.stdout.write;
}

if (interrupt?.process === id) {
  const look = setInterval(() => {
    const text = (() => {
      try {
        return readFileSync(interrupt.file, 'utf8');
      } catch {
        return '';
      }
    })();
    if (text.split('\n').length <= interrupt.lines) return;
    clearInterval(look);
    process.emit('SIGINT', 'SIGINT');
  }, 10);
  look.unref();
}
await main([process.execPath, 'flow-grpo', ...args, ...flags]);
parentPort!.postMessage({ status: Number(process.exitCode ?? 0), ...said } satisfies Ended);
process.exit(0);
