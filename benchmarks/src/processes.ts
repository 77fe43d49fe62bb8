/** Processes that share this machine's GPUs evenly, and a run: the part of a section that such a process is. */
import { randomBytes } from 'node:crypto';
import { freePort } from '@flow-grpo/test-support/free-port';
import { type InnerOptions, runInner } from './inner';
import { machineFacts } from './machine';
import type { Measurement } from './reporting';

export const PROCESSES = 2;

/** GPUs of each process. */
export const gpusEach = (): number => Math.floor(Number(machineFacts().gpus ?? 0) / PROCESSES);

/** Runs a part in all processes at once; each finds its place in the environment. Process 0's measurements come back. */
export async function inProcesses(part: string, options: InnerOptions): Promise<Measurement[]> {
  const all = await Promise.all(await startProcesses(part, () => options));
  return all[0]!;
}

/** Starts a part in all processes; each one's measurements, or why it failed. */
export async function startProcesses(
  part: string,
  optionsOf: (id: number) => InnerOptions,
): Promise<Promise<Measurement[]>[]> {
  const common = { HOSTS_PORT: `${await freePort()}`, HOSTS_SECRET: randomBytes(16).toString('hex') };
  return Array.from({ length: PROCESSES }, (_, id) => {
    const { env, ...options } = optionsOf(id);
    return runInner(part, { ...options, env: { ...env, ...common, HOSTS_ID: `${id}` } });
  });
}

/** The place of a process that `inProcesses` started, as the command takes it; undefined in others. */
export function placeOfProcess() {
  const { HOSTS_ID, HOSTS_PORT, HOSTS_SECRET } = process.env;
  if (HOSTS_ID === undefined) return undefined;
  const place = {
    coordinator: `127.0.0.1:${HOSTS_PORT}`,
    processId: Number(HOSTS_ID),
    numProcesses: PROCESSES,
  };
  return {
    launcher: 'benchmarks',
    ...place,
    distributed: { ...place, secret: HOSTS_SECRET! },
    clientOptions: {
      visible_devices: Array.from({ length: gpusEach() }, (_, i) => place.processId * gpusEach() + i),
    },
  };
}
