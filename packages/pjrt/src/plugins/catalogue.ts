import { join } from 'node:path';
import { cacheFolder } from './cache';
import { cudaWheels } from './cuda-wheels';
import { WHEEL_PATHS } from './locations';
import type { PinnedWheel } from './wheel';

/** What `pjrt install` can install. */
export type InstallName = 'cpu' | 'cuda13';

export interface Distribution {
  /** Folder name in the cache. */
  folder: string;
  /** The first holds the plugin, the others the libraries it opens. */
  wheels: readonly PinnedWheel[];
  /** The plugin, from the folder. */
  library: string;
  /** Bytes of disk it takes while installing, wheels and unpacked files together. */
  diskBytes: number;
}

const library = (name: string) => WHEEL_PATHS.find(({ path }) => path.includes(name))!.path;

const CPU: Record<string, Distribution> = {
  'linux-x64': {
    folder: 'lammps-jax-pjrt-cpu-0.11.2',
    library: library('lammps_jax'),
    diskBytes: 300e6,
    wheels: [
      {
        name: 'lammps-jax-pjrt-cpu',
        version: '0.11.2',
        sha256: '1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1',
      },
    ],
  },
  'linux-arm64': {
    folder: 'xla-cpu-pjrt-0.0.1',
    library: library('xla_cpu_pjrt'),
    diskBytes: 300e6,
    wheels: [
      {
        name: 'xla-cpu-pjrt',
        version: '0.0.1',
        sha256: '8f613be6e891858f40d64f9799319502fff42689661944fc18a6ffd8210b30c9',
      },
    ],
  },
};

/** `linux-x64` and so on, and the machine's name in wheel tags. */
export interface Machine {
  key: string;
  wheelArchitecture: string;
}

export const thisMachine = (): Machine => ({
  key: `${process.platform}-${process.arch}`,
  wheelArchitecture: process.arch === 'arm64' ? 'aarch64' : 'x86_64',
});

/** The pinned files of `name` for a machine. @throws where no wheel exists for it. */
export function distribution(name: InstallName, machine: Machine, catalogue = CATALOGUE): Distribution {
  const found = catalogue[name][machine.key];
  if (found !== undefined) return found;
  const supported = Object.keys(catalogue[name]).join(', ');
  throw new Error(
    `No ${name} plugin is published for ${machine.key} (only ${supported}). Build XLA's plugin for it and set PJRT_PLUGIN_LIBRARY_PATH to the library.`,
  );
}

/** Where an installed distribution's library is. */
export const installedLibrary = (
  entry: Distribution,
  environment?: Readonly<Record<string, string | undefined>>,
): string => join(cacheFolder(environment), entry.folder, entry.library);

function cuda(architecture: 'x86_64' | 'aarch64'): Distribution {
  return {
    folder: 'jax-cuda13-pjrt-0.11.2',
    library: library('xla_cuda13'),
    diskBytes: 6e9,
    wheels: cudaWheels(architecture),
  };
}

/** All that `pjrt install` knows, by name and machine. */
export const CATALOGUE: Readonly<Record<InstallName, Readonly<Record<string, Distribution>>>> = {
  cpu: CPU,
  cuda13: { 'linux-x64': cuda('x86_64'), 'linux-arm64': cuda('aarch64') },
};
