import { existsSync, readdirSync } from 'node:fs';

const GPUS = '/proc/driver/nvidia/gpus';

/** GPUs that CUDA shows this process: those that CUDA_VISIBLE_DEVICES names, else those of the machine; 0 where it is not known. */
export function gpuCount(
  { CUDA_VISIBLE_DEVICES: named }: Readonly<Record<string, string | undefined>> = process.env,
): number {
  if (named !== undefined) return named.split(',').filter((each) => each.trim() !== '').length;
  return existsSync(GPUS) ? readdirSync(GPUS).length : 0;
}
