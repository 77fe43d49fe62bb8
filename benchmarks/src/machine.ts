/** Facts about the machine that a number is worth nothing without. */
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';

/**
 * GPU and driver where there are, processor, memory, Node; versions of Python's packages come with its lines. GPUs are those
 * that `CUDA_VISIBLE_DEVICES` leaves: several benchmarks can share a machine.
 */
export function machineFacts(): Record<string, string | number> {
  const gpu = output('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader']);
  const [name, driver] = gpu?.split('\n')[0]?.split(', ') ?? [];
  const commit = output('git', ['rev-parse', '--short', 'HEAD']);
  return {
    ...(name && { gpu: name }),
    ...(driver && { driver }),
    ...(gpu && { gpus: visibleGpus(gpu.split('\n').length).length }),
    cpu: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    ...(commit && { commit }),
  };
}

/** The GPUs of a machine with so many that this process may use, as `CUDA_VISIBLE_DEVICES` names them. */
export function visibleGpus(ofMachine: number, visible = process.env.CUDA_VISIBLE_DEVICES): string[] {
  if (visible === undefined) return Array.from({ length: ofMachine }, (_, i) => `${i}`);
  return visible.split(',').flatMap((word) => word.trim() || []);
}

function output(command: string, args: readonly string[]): string | undefined {
  try {
    return (
      execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() ||
      undefined
    );
  } catch {
    return undefined;
  }
}
