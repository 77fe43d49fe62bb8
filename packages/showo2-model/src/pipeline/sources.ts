import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  checkpointFiles,
  type DownloadProgress,
  type HubOptions,
  resolveModel,
} from '@flow-grpo/checkpoint-io';

export interface SourceOptions {
  /** For hub ids: endpoint, token, cache and offline mode, the environment's by default; and the model's revision. */
  hub?: HubOptions & { revision?: string };
  /** Told how far the download of a file is. */
  onDownload?: (progress: DownloadProgress) => void;
  signal?: AbortSignal;
}

/** What Wan 2.1's repositories call the VAE, and the one that upstream takes it from. */
const VAE_FILE = 'Wan2.1_VAE.pth';
const VAE_REPOSITORY = 'Wan-AI/Wan2.1-T2V-14B';

const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer_config.json', 'vocabulary.json'];

type Wanted = (file: string, all: readonly string[]) => boolean;

/** The files of a folder, by their names in it. */
const inside = (folder: string, wanted: Wanted): Wanted => {
  const prefix = `${folder}/`;
  const cut = (file: string) => file.slice(prefix.length);
  return (file, all) =>
    file.startsWith(prefix) && wanted(cut(file), all.filter((other) => other.startsWith(prefix)).map(cut));
};
const isTokenizer: Wanted = (file) => TOKENIZER_FILES.includes(file);
const isCheckpoint: Wanted = (file, all) => file === 'config.json' || checkpointFiles(all).includes(file);
const isVae: Wanted = (file, all) =>
  all.includes(VAE_FILE)
    ? file === VAE_FILE
    : isCheckpoint(file, all) || inside('vae', isCheckpoint)(file, all);
const isModel: Wanted = (file, all) =>
  [isCheckpoint, isTokenizer, inside('tokenizer', isTokenizer), inside('vae', isCheckpoint)].some((wanted) =>
    wanted(file, all),
  ) || file === VAE_FILE;

function resolve(
  pathOrId: string,
  filter: Wanted,
  options: SourceOptions,
  revision?: string,
): Promise<string> {
  const { hub: { revision: _, ...hub } = {}, onDownload, signal } = options;
  return resolveModel(pathOrId, {
    ...{ ...hub, filter },
    ...(revision !== undefined && { revision }),
    ...(onDownload && { onProgress: onDownload }),
    ...(signal && { signal }),
  });
}

/** The folder of a model: a path as it is, or a hub id whose files are downloaded or in the cache. */
export async function modelFolder(
  pathOrId: string,
  options: SourceOptions,
): Promise<{ folder: string; fromHub: boolean }> {
  const fromHub = !(await exists(pathOrId));
  return { folder: await resolve(pathOrId, isModel, options, options.hub?.revision), fromHub };
}

/** The folder or file of one checkpoint: a path as it is, or a hub id. */
export const checkpointFolder = (pathOrId: string, options: SourceOptions): Promise<string> =>
  resolve(pathOrId, isCheckpoint, options);

/**
 * The folder of the tokenizer: the given path or hub id; else where the model's folder has one; else, for a model of the
 * hub, the language model that its config.json names (`llm_model_path`).
 */
export async function tokenizerFolder(
  model: { folder: string; fromHub: boolean },
  given: string | undefined,
  options: SourceOptions,
): Promise<string> {
  if (given !== undefined) return resolve(given, isTokenizer, options);
  for (const folder of [join(model.folder, 'tokenizer'), model.folder]) {
    for (const file of ['vocabulary.json', 'tokenizer.json'])
      if (await exists(join(folder, file))) return folder;
  }
  const base = model.fromHub ? await languageModelOf(model.folder) : undefined;
  return base === undefined ? model.folder : resolve(base, isTokenizer, options);
}

/** The VAE's file or folder: the given path or hub id; else in the model's folder; else, for a model of the hub, Wan's. */
export async function vaePath(
  model: { folder: string; fromHub: boolean },
  given: string | undefined,
  options: SourceOptions,
): Promise<string> {
  const own = [join(model.folder, 'vae'), join(model.folder, VAE_FILE)];
  if (given === undefined) {
    for (const place of own) if (await exists(place)) return place;
    if (!model.fromHub) {
      throw new Error(
        `No VAE at ${own.join(' or ')}; pass the 'vae' option: a path, or a hub id such as ${VAE_REPOSITORY}.`,
      );
    }
  }
  const folder = await resolve(given ?? VAE_REPOSITORY, isVae, options);
  for (const name of [VAE_FILE, 'vae']) if (await exists(join(folder, name))) return join(folder, name);
  return folder;
}

/** Upstream's `llm_model_path` in a folder's config.json. */
async function languageModelOf(folder: string): Promise<string | undefined> {
  const config = (await readJson(join(folder, 'config.json'))) as { llm_model_path?: unknown } | null;
  return typeof config?.llm_model_path === 'string' && config.llm_model_path !== ''
    ? config.llm_model_path
    : undefined;
}

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** A parsed JSON file. Throws naming the file that is missing or broken. */
export async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} cannot be read as JSON: ${(error as Error).message}`, { cause: error });
  }
}
