import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { cacheFolder } from './cache';
import { type PluginPlatform, platformOfPath, WHEEL_PATHS } from './locations';

/** How a plugin was found. */
export type PluginSource = 'option' | 'PJRT_PLUGIN_LIBRARY_PATH' | 'python' | 'cache';

export interface FoundPlugin {
  path: string;
  platform: PluginPlatform;
  source: PluginSource;
}

export interface FindPluginOptions {
  /** Explicit path of a library; nothing else is looked at. */
  plugin?: string | undefined;
  /** Default: `FLOW_GRPO_XLA_PLATFORM` (`cpu` or `cuda`), else `cuda` where a GPU and its plugin are, else `cpu`. */
  platform?: PluginPlatform | undefined;
  /** Default: this process's. */
  environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Whether there is an NVIDIA GPU. Default: whether its driver's device files exist. */
  hasGpu?: boolean | undefined;
}

/** No plugin was found; the message says what to run. */
export class NoPluginError extends Error {
  override readonly name = 'NoPluginError';

  constructor(readonly platform: PluginPlatform | undefined) {
    super(
      `No PJRT plugin${platform === 'cuda' ? ' for CUDA' : ''} found. Run: npx pjrt install ${platform === 'cuda' ? 'cuda13' : 'cpu'}`,
    );
  }
}

/** True when an NVIDIA driver has made its device files. */
export const nvidiaGpuPresent = (): boolean => existsSync('/dev/nvidiactl') || existsSync('/dev/dxg');

/**
 * The plugin to use: the explicit path, `PJRT_PLUGIN_LIBRARY_PATH`, Python environments (VIRTUAL_ENV, CONDA_PREFIX,
 * the `python3` on the path), the package's cache; in this order for the wanted platform.
 *
 * @throws NoPluginError when there is none; an Error where a variable names what there is not.
 */
export function findPlugin(options: FindPluginOptions = {}): FoundPlugin {
  const { environment = process.env } = options;
  const explicit = explicitPlugin(options.plugin, environment);
  if (explicit !== undefined) return explicit;
  const platform = options.platform ?? platformByEnvironment(environment);
  const hasGpu = options.hasGpu ?? nvidiaGpuPresent();
  const wanted: PluginPlatform[] = platform !== undefined ? [platform] : hasGpu ? ['cuda', 'cpu'] : ['cpu'];
  // Asking python3 costs tens of milliseconds, so sources are opened one after the other.
  const roots: { source: PluginSource; folders: () => string[] }[] = [
    { source: 'python', folders: () => environmentFolders(environment) },
    { source: 'python', folders: () => interpreterFolders(environment) },
    { source: 'cache', folders: () => cacheFolders(environment) },
  ];
  const listed = roots.map(({ source, folders }) => ({ source, folders: lazy(folders) }));
  for (const each of wanted) {
    for (const { source, folders } of listed) {
      const path = firstPlugin(folders(), each);
      if (path !== undefined) return { path, platform: each, source };
    }
  }
  throw new NoPluginError(platform);
}

/** Every plugin that discovery sees, best first within a source; for reports. */
export function listPlugins(options: FindPluginOptions = {}): FoundPlugin[] {
  const { environment = process.env } = options;
  const found: FoundPlugin[] = [];
  const explicit = explicitPlugin(options.plugin, environment);
  if (explicit !== undefined) found.push(explicit);
  const add = (source: PluginSource, folders: string[]) => {
    for (const folder of folders) {
      for (const { platform, path } of WHEEL_PATHS) {
        const full = join(folder, path);
        if (existsSync(full) && !found.some((each) => each.path === full)) {
          found.push({ path: full, platform, source });
        }
      }
    }
  };
  add('python', [...environmentFolders(environment), ...interpreterFolders(environment)]);
  add('cache', cacheFolders(environment));
  return found;
}

function platformByEnvironment({
  FLOW_GRPO_XLA_PLATFORM: name,
}: Readonly<Record<string, string | undefined>>): PluginPlatform | undefined {
  if (!name) return undefined;
  if (name === 'cpu' || name === 'cuda') return name;
  throw new Error(`FLOW_GRPO_XLA_PLATFORM is ${name}; it must be cpu or cuda`);
}

function explicitPlugin(
  plugin: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): FoundPlugin | undefined {
  const path = plugin ?? (environment.PJRT_PLUGIN_LIBRARY_PATH || undefined);
  if (path === undefined) return undefined;
  const source = plugin === undefined ? 'PJRT_PLUGIN_LIBRARY_PATH' : 'option';
  const full = resolve(path);
  if (!existsSync(full)) {
    const where = source === 'option' ? 'the plugin option' : source;
    throw new Error(`There is no file ${full}, which ${where} names.`);
  }
  return { path: full, platform: platformOfPath(full), source };
}

function firstPlugin(folders: string[], platform: PluginPlatform): string | undefined {
  for (const each of WHEEL_PATHS.filter((wheel) => wheel.platform === platform)) {
    for (const folder of folders) {
      const path = join(folder, each.path);
      if (existsSync(path)) return path;
    }
  }
  return undefined;
}

/** site-packages of the activated environments, without starting Python. */
function environmentFolders(environment: Readonly<Record<string, string | undefined>>): string[] {
  const folders: string[] = [];
  for (const prefix of [environment.VIRTUAL_ENV, environment.CONDA_PREFIX]) {
    if (!prefix) continue;
    for (const library of ['lib', 'lib64']) {
      for (const version of list(join(prefix, library)).filter((name) => /^python3\.\d+$/.test(name))) {
        folders.push(join(prefix, library, version, 'site-packages'));
      }
    }
  }
  return folders;
}

const QUERY =
  'import site, sys, os; print(os.pathsep.join(site.getsitepackages() + [site.getusersitepackages()]))';

/** site-packages that the `python3` on the path imports from; none without Python. */
function interpreterFolders(environment: Readonly<Record<string, string | undefined>>): string[] {
  try {
    const output = execFileSync('python3', ['-c', QUERY], {
      encoding: 'utf8',
      env: environment as NodeJS.ProcessEnv,
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 10_000,
    });
    return output.trim().split(delimiter).filter(Boolean);
  } catch {
    return [];
  }
}

/** Installed plugins: one folder a wheel version, newest name last. */
function cacheFolders(environment: Readonly<Record<string, string | undefined>>): string[] {
  const root = cacheFolder(environment);
  return list(root)
    .filter((name) => !name.startsWith('.'))
    .sort()
    .reverse()
    .map((name) => join(root, name));
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function lazy<T>(make: () => T): () => T {
  let value: { made: T } | undefined;
  return () => {
    value ??= { made: make() };
    return value.made;
  };
}
