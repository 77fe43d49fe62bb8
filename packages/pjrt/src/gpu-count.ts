import { existsSync, readdirSync } from 'node:fs';

type Environment = Readonly<Record<string, string | undefined>>;

const GPUS = '/proc/driver/nvidia/gpus';

/** What CUDA_VISIBLE_DEVICES names, numbers or UUIDs; undefined where it is not set. At -1 and at a blank CUDA reads no further. */
export function namedGpus({ CUDA_VISIBLE_DEVICES: named }: Environment): string[] | undefined {
  const words = named?.split(',').map((word) => word.trim());
  const end = words?.findIndex((word) => word === '' || word.startsWith('-')) ?? -1;
  return end < 0 ? words : words?.slice(0, end);
}

/** GPUs that CUDA shows this process: those that CUDA_VISIBLE_DEVICES names, else those of the machine; 0 where it is not known. */
export function gpuCount(environment: Environment = process.env): number {
  const named = namedGpus(environment);
  if (named !== undefined) return named.length;
  return existsSync(GPUS) ? readdirSync(GPUS).length : 0;
}
