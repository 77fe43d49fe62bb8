/** The programs of a run on many hosts, compiled on one machine that has none of them. */
import { type EpochProgram, type GrpoConfig, planEpoch } from '@flow-grpo/grpo-trainer';
import type { AnyAlgorithm } from '@flow-grpo/grpo-trainer/algorithms';
import { configure, startXla } from '@flow-grpo/tfjs-backend-xla';
import { type Collective, deviceInfo, hasCompiler } from '@flow-grpo/tfjs-jit';
import type { PlaceholderPolicy } from '../setup/placeholder-policy';

/** What compiled programs say. */
export interface HostPrograms {
  /** For which devices they were compiled, in words. */
  readonly compiledFor: string;
  /** That one host sends per epoch, by operation; nothing that stays within a host. */
  readonly sent: Readonly<Record<string, number>>;
  /** What a program needs on a device besides what the run holds anyway: the most, and the program that does. */
  readonly temporary: { readonly bytes: number; readonly program: string };
}

/**
 * Starts XLA for `devices` devices, whatever this machine has: virtual ones of its CPU, or where there is a GPU that one and
 * stand-ins for the others, over which nothing can be sent (XLA's mock NCCL).
 *
 * @returns what they are, in words
 * @throws when XLA runs already with fewer, and what starting it throws
 */
export async function startForMany(devices: number): Promise<string> {
  if (!hasCompiler()) {
    const { gpuCount } = await import('@flow-grpo/pjrt');
    if (process.env.FLOW_GRPO_XLA_PLATFORM !== 'cpu' && gpuCount() > 0) {
      configure({
        platform: 'cuda',
        preallocate: false,
        clientOptions: { visible_devices: [0], enable_mock_nccl: true, num_nodes: devices },
        // Processes that share these trials wait for one another.
        debugOptions: { xla_gpu_shard_autotuning: false },
      });
    } else {
      // Threads are for programs that run.
      process.env.NPROC ??= '8';
      configure({ platform: 'cpu', devices });
    }
    await startXla();
  }
  const all = deviceInfo();
  if (all.length < devices) {
    throw new Error(
      `XLA is already running, with ${all.length} devices of the ${devices} that the run would have`,
    );
  }
  const [{ kind, platform }] = all as [(typeof all)[number]];
  return platform === 'cpu' ? `${devices} virtual CPU devices` : `${devices} × ${kind}, of which one is here`;
}

/** Compiles an epoch for the devices of all hosts. */
export async function compileForHosts(
  makePolicy: PlaceholderPolicy,
  config: GrpoConfig,
  hosts: number,
  algorithm?: AnyAlgorithm,
): Promise<HostPrograms> {
  const compiledFor = await startForMany(config.devices);
  const programs = await planEpoch(makePolicy, config, algorithm);
  return { compiledFor, ...needsOf(programs, config.devices / hosts, hosts) };
}

/** What programs send between hosts, each of which has `devices` of the mesh's devices in a row. */
export function needsOf(
  programs: readonly EpochProgram[],
  devices: number,
  hosts: number,
): Pick<HostPrograms, 'sent' | 'temporary'> {
  const sent: Record<string, number> = {};
  let temporary = { bytes: 0, program: 'none' };
  for (const { name, calls, cost } of programs) {
    const { temporaryBytes, outputBytes, aliasedBytes, collectives } = cost();
    const bytes = temporaryBytes + outputBytes - aliasedBytes;
    if (bytes > temporary.bytes) temporary = { bytes, program: name };
    for (const each of collectives) {
      const between = (calls * each.times * sentBetween(each, devices)) / hosts;
      if (between > 0) sent[each.operation] = (sent[each.operation] ?? 0) + between;
    }
  }
  return { sent, temporary };
}

/**
 * Bytes that leave hosts, all of them together, when devices exchange as rings do that pass through each host once: a sum goes
 * around twice, parts that are joined or left over once.
 */
export function sentBetween({ operation, bytes, groups }: Collective, devices: number): number {
  const hostOf = (device: number) => Math.floor(device / devices);
  return groups.reduce((total, group) => {
    const hosts = new Set(group.map(hostOf)).size;
    if (hosts === 1) return total;
    switch (operation) {
      case 'all-reduce':
        return total + 2 * (hosts - 1) * bytes;
      case 'all-gather':
      case 'reduce-scatter':
        return total + (hosts - 1) * bytes;
      case 'collective-permute':
        return total + bytes;
      default: {
        // Every device sends every other its part of what it has.
        const elsewhere = group.map(
          (device) => group.filter((other) => hostOf(other) !== hostOf(device)).length,
        );
        return total + (bytes * elsewhere.reduce((sum, count) => sum + count, 0)) / group.length;
      }
    }
  }, 0);
}
