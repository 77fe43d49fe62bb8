import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { type HubOptions, hubSettings } from '../hub/environment';
import { HubError } from '../hub/hub-error';
import {
  type DownloadProgress,
  type FilesOptions,
  type SnapshotFile,
  snapshotDownload,
  snapshotFiles,
} from '../hub/snapshot';
import { readShardIndex } from '../sharded';
import {
  type Chosen,
  chooseFiles,
  type FileChoices,
  MissingFilesError,
  type RequiredFiles,
} from './required';
import { parseSource, type Source } from './source';

export interface FindFilesOptions {
  /** Where the hub and its cache are; the environment's by default. */
  readonly hub?: HubOptions;
  readonly signal?: AbortSignal;
}

export interface FetchFilesOptions extends FindFilesOptions {
  /** Told how far each download is. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

/** What a source has of the required files. */
export interface FoundFiles {
  readonly kind: Source['kind'];
  readonly files: readonly SnapshotFile[];
  /** Bytes of all files, as far as their sizes are known, and of those that a load would download. */
  readonly bytes: number;
  readonly downloadBytes: number;
}

/** The required files on this disk. */
export interface FetchedFiles<Files extends FileChoices> {
  /** The folder; the file itself where the source is one. */
  readonly place: string;
  /** The path to open for each role; undefined where an optional one is missing. */
  readonly paths: {
    readonly [Role in keyof Files]: Files[Role] extends { optional: true } ? string | undefined : string;
  };
}

/**
 * Looks for the required files with nothing downloaded and nothing written.
 *
 * @throws {MissingFilesError} for a source that does not exist or lacks a file, wherever {@link fetchFiles} would
 */
export async function findFiles(
  required: RequiredFiles,
  options: FindFilesOptions = {},
): Promise<FoundFiles> {
  const source = await sourceOf(required);
  if (source.kind === 'hub') {
    const { result } = await onHub(required, source, options, snapshotFiles);
    return summary(source.kind, result ?? []);
  }
  const { folder, chosen } = await onDisk(required, source);
  const files = await Promise.all(
    [...chosen.names].map(async (file) => ({
      file,
      cached: true,
      size: (await stat(join(folder, file))).size,
    })),
  );
  return summary(source.kind, files);
}

/**
 * Makes the required files available: those of a path as they are, those of a repository from the cache or downloaded.
 *
 * @throws {MissingFilesError} as {@link findFiles}, before anything is downloaded
 */
export async function fetchFiles<Files extends FileChoices>(
  required: RequiredFiles<Files>,
  options: FetchFilesOptions = {},
): Promise<FetchedFiles<Files>> {
  const source = await sourceOf(required);
  const { onDownload } = options;
  const place = (folder: string, chosen: Chosen, file?: string): FetchedFiles<Files> => ({
    place: file === undefined ? folder : join(folder, file),
    paths: Object.fromEntries(
      Object.keys(required.files).map((role) => {
        const [first] = chosen.byRole[role]!;
        return [role, first === undefined ? undefined : join(folder, first)];
      }),
    ) as FetchedFiles<Files>['paths'],
  });
  if (source.kind !== 'hub') {
    const { folder, chosen } = await onDisk(required, source);
    return place(folder, chosen, source.kind === 'file' ? basename(source.path) : undefined);
  }
  const { result, chosen } = await onHub(required, source, options, (repo, filesOptions) =>
    snapshotDownload(repo, { ...filesOptions, ...(onDownload && { onProgress: onDownload }) }),
  );
  return place(result ?? '', chosen, source.file);
}

async function sourceOf(required: RequiredFiles): Promise<Source> {
  return parseSource(required.source).catch((error: Error) => {
    throw new MissingFilesError(required, error.message, { cause: error });
  });
}

/** How deep a folder is looked into: its own files, and those of vae/ and tokenizer/. */
const FOLDER_DEPTH = 2;

async function onDisk(required: RequiredFiles, source: Source & { kind: 'file' | 'folder' }) {
  const file = source.kind === 'file' ? basename(source.path) : undefined;
  const folder = file === undefined ? source.path : dirname(source.path);
  const names = await namesIn(folder, FOLDER_DEPTH);
  const first = chooseFiles(required.files, names, { file });
  const chosen = chooseFiles(required.files, names, { file, shards: await shardsOf(folder, first.names) });
  complain(required, chosen);
  return { folder, chosen };
}

/** On the disk shards may have any name: the indices say which. */
async function shardsOf(folder: string, names: ReadonlySet<string>): Promise<Map<string, string[]>> {
  const shards = new Map<string, string[]>();
  for (const name of names) {
    if (!name.endsWith('.index.json')) continue;
    const { files } = await readShardIndex(join(folder, name));
    shards.set(
      name,
      files.map((file) => posix.join(posix.dirname(name), basename(file))),
    );
  }
  return shards;
}

async function namesIn(folder: string, depth: number, prefix = ''): Promise<string[]> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry) => {
      const name = prefix + entry.name;
      // Entries may be links, as in the hub's cache.
      const info = await stat(join(folder, name)).catch(() => undefined);
      if (info?.isDirectory()) return depth > 1 ? namesIn(folder, depth - 1, `${name}/`) : [];
      return info ? [name] : [];
    }),
  );
  return found.flat();
}

/**
 * Lists a repository, on the hub or in the cache, and hands what is read of it to `get`. `result` is absent where all
 * files are optional and none is there.
 */
async function onHub<T>(
  required: RequiredFiles,
  source: Source & { kind: 'hub' },
  { hub, signal }: FindFilesOptions,
  get: (repo: string, options: FilesOptions) => Promise<T>,
): Promise<{ result: T | undefined; chosen: Chosen }> {
  const { repo, file, revision = required.revision } = source;
  const { offline } = await hubSettings(hub ?? {});
  let listed: readonly string[] | undefined;
  let chosen: Chosen = { byRole: {}, names: new Set(), missing: [] };
  const filter = (name: string, names: readonly string[]): boolean => {
    if (names !== listed) {
      listed = names;
      chosen = chooseFiles(required.files, names, { file });
      complain(required, chosen, offline ? ' in the cache, and offline mode is on (HF_HUB_OFFLINE)' : '');
    }
    return chosen.names.has(name);
  };
  try {
    const result = await get(repo, {
      ...hub,
      filter,
      ...(required.repoType && { repoType: required.repoType }),
      ...(revision !== undefined && { revision }),
      ...(signal && { signal }),
    });
    return { result, chosen };
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    if (listed !== undefined && chosen.names.size === 0) return { result: undefined, chosen };
    throw new MissingFilesError(required, `${required.source} does not exist here, and ${error.message}`, {
      cause: error,
    });
  }
}

function complain(required: RequiredFiles, { missing }: Chosen, where = ''): void {
  if (missing.length === 0) return;
  throw new MissingFilesError(required, `${required.source} has no ${missing.join(', and no ')}${where}`);
}

function summary(kind: Source['kind'], files: readonly SnapshotFile[]): FoundFiles {
  const total = (some: readonly SnapshotFile[]) => some.reduce((sum, { size }) => sum + (size ?? 0), 0);
  return { kind, files, bytes: total(files), downloadBytes: total(files.filter(({ cached }) => !cached)) };
}
