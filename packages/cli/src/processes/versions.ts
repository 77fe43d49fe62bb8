/** Versions of NVIDIA's parts that processes must have in common. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Of the kernel's driver, e.g. `580.159.04`; undefined without one. */
export function nvidiaDriver(file = '/proc/driver/nvidia/version'): string | undefined {
  if (!existsSync(file)) return undefined;
  return /\s(\d+\.\d+(?:\.\d+)?)\s/.exec(readFileSync(file, 'utf8'))?.[1];
}

/** Of the wheel of NCCL that lies beside the plugin's; undefined where there is none. */
export function ncclVersion(plugin: string): string | undefined {
  const packages = join(dirname(plugin), '..', '..');
  const names = existsSync(packages) ? readdirSync(packages) : [];
  return names.map((name) => /^nvidia_nccl_\w+-(.+)\.dist-info$/.exec(name)?.[1]).find(Boolean);
}
