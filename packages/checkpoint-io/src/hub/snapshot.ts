import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import {
  checkNoClash,
  checkPathPart,
  linkBlob,
  type RepoCache,
  type RepoType,
  repoCache,
} from './cache-layout';
import { findFile, listRepo, type RemoteFile } from './client';
import { downloadBlob } from './download';
import { type HubOptions, hubSettings } from './environment';
import { HubError } from './hub-error';

export interface DownloadProgress {
  readonly file: string;
  /** Bytes of this file on disk, and its size where the hub tells. */
  readonly received: number;
  readonly size: number | undefined;
}

/** Which files of which version of a repository. */
export interface FilesOptions extends HubOptions {
  /** 'model' by default; 'dataset' for repositories under huggingface.co/datasets. */
  readonly repoType?: RepoType;
  /** Branch, tag or commit; 'main' by default. */
  readonly revision?: string;
  /** Which files are wanted, of all that the repository holds; all by default. */
  readonly filter?: (file: string, all: readonly string[]) => boolean;
  readonly signal?: AbortSignal;
}

export interface SnapshotOptions extends FilesOptions {
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** A wanted file of a repository. */
export interface SnapshotFile {
  readonly file: string;
  /** Bytes, where known. */
  readonly size: number | undefined;
  /** Whether its bytes are on this disk. */
  readonly cached: boolean;
}

/**
 * Makes the files of a hub repository (`org/name`) available and returns the folder that holds them. Files in
 * the cache are used as they are, others are downloaded with resume and checked. Offline, or when the hub is
 * out of reach and the cache has the revision, the cache alone decides. Throws a {@link HubError}.
 */
export async function snapshotDownload(repo: string, options: SnapshotOptions = {}): Promise<string> {
  const { onProgress, signal, revision = 'main' } = options;
  const { cache, folder, commit, files, remote } = await locate(repo, options);
  if (!remote) return folder;
  await cache.rememberCommit(revision, commit);
  const { settings } = remote;
  for (const file of files) {
    signal?.throwIfAborted();
    if (await isFile(join(folder, file))) continue;
    const found = await remote.find(file);
    const blob = cache.blob(found.etag);
    const here = await sizeOf(blob);
    if (here === undefined || here !== (found.size ?? here)) {
      const report = (received: number, size: number | undefined) => onProgress?.({ file, received, size });
      await downloadBlob(settings, found, blob, report, signal);
    }
    await linkBlob(blob, join(folder, file));
  }
  return folder;
}

/**
 * What {@link snapshotDownload} would give, with nothing downloaded and nothing written: the wanted files, their sizes,
 * and which of them are in the cache. It fails where the download would fail at once: no such repository or revision,
 * no right to read it, none of the files, or a hub out of reach and nothing in the cache.
 */
export async function snapshotFiles(repo: string, options: FilesOptions = {}): Promise<SnapshotFile[]> {
  const { cache, folder, files, remote } = await locate(repo, options);
  return Promise.all(
    files.map(async (file) => {
      const here = await sizeOf(join(folder, file));
      if (here !== undefined || !remote) return { file, size: here, cached: here !== undefined };
      const { etag, size } = await remote.find(file);
      const blob = await sizeOf(cache.blob(etag));
      return { file, size, cached: blob !== undefined && blob === (size ?? blob) };
    }),
  );
}

interface Located {
  readonly cache: RepoCache;
  readonly commit: string;
  /** The commit's folder in the cache. */
  readonly folder: string;
  /** The wanted files, at least one. */
  readonly files: readonly string[];
  /** Absent where the cache alone decides. */
  readonly remote?: {
    readonly settings: Awaited<ReturnType<typeof hubSettings>>;
    readonly find: (file: string) => Promise<RemoteFile>;
  };
}

/** The commit that a revision stands for and its wanted files, from the hub or else from the cache. */
async function locate(repo: string, options: FilesOptions): Promise<Located> {
  const { repoType = 'model', revision = 'main', filter = () => true, signal } = options;
  if (!/^[\w.-]+(\/[\w.-]+)?$/.test(repo) || repo.includes('--'))
    throw new HubError(`${JSON.stringify(repo)} is not a hub id like org/name`);
  checkPathPart('the repository', repo);
  checkPathPart('the revision', revision);
  const settings = await hubSettings(options);
  const cache = repoCache(settings.cacheDir, repo, repoType);

  const cached = async (reason: string): Promise<Located> => {
    const commit = await cache.commitOf(revision);
    const folder = commit && cache.snapshot(commit);
    const all = folder ? await filesIn(folder) : [];
    const files = all.filter((file) => filter(file, all));
    if (!commit || !folder || files.length === 0) {
      throw new HubError(`${repo}@${revision} is not in the cache ${settings.cacheDir}, and ${reason}`);
    }
    return { cache, commit, folder, files };
  };
  if (settings.offline) return cached('offline mode is on (HF_HUB_OFFLINE)');
  let listing: Awaited<ReturnType<typeof listRepo>>;
  try {
    listing = await listRepo(settings, repo, repoType, revision, signal);
  } catch (error) {
    if (error instanceof HubError && error.status === undefined) return cached(error.message);
    throw error;
  }
  const { commit } = listing;
  const files = listing.files.filter((file) => filter(file, listing.files));
  if (files.length === 0) throw new HubError(`${repo}@${revision} has none of the wanted files`);
  checkNoClash(`${repo}@${revision}`, files);
  const find = (file: string) => findFile(settings, repo, repoType, commit, file, signal);
  return { cache, commit, folder: cache.snapshot(commit), files, remote: { settings, find } };
}

const sizeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    (info) => (info.isFile() ? info.size : undefined),
    () => undefined,
  );

const isFile = async (path: string): Promise<boolean> => (await sizeOf(path)) !== undefined;

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  // A link whose blob is gone is no file.
  const there = await Promise.all(paths.map(isFile));
  return paths.filter((_, i) => there[i]).map((path) => relative(folder, path).split(sep).join('/'));
}
