import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { checkPathPart, linkBlob, repoCache } from './cache-layout';
import { findFile, listRepo } from './client';
import { downloadBlob } from './download';
import { type HubOptions, hubSettings } from './environment';
import { HubError } from './hub-error';

export interface DownloadProgress {
  readonly file: string;
  /** Bytes of this file on disk, and its size where the hub tells. */
  readonly received: number;
  readonly size: number | undefined;
}

export interface SnapshotOptions extends HubOptions {
  /** Branch, tag or commit; 'main' by default. */
  readonly revision?: string;
  /** Which files of the repository are wanted; all by default. */
  readonly filter?: (file: string) => boolean;
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Makes the files of a hub repository (`org/name`) available and returns the folder that holds them. Files in
 * the cache are used as they are, others are downloaded with resume and checked. Offline, or when the hub is
 * out of reach and the cache has the revision, the cache alone decides. Throws a {@link HubError}.
 */
export async function snapshotDownload(repo: string, options: SnapshotOptions = {}): Promise<string> {
  const { revision = 'main', filter = () => true, onProgress, signal } = options;
  if (!/^[\w.-]+(\/[\w.-]+)?$/.test(repo))
    throw new HubError(`${JSON.stringify(repo)} is not a hub id like org/name`);
  checkPathPart('the repository', repo);
  checkPathPart('the revision', revision);
  const settings = await hubSettings(options);
  const cache = repoCache(settings.cacheDir, repo);

  const cached = async (reason: string): Promise<string> => {
    const commit = await cache.commitOf(revision);
    const folder = commit && cache.snapshot(commit);
    const files = folder ? await filesIn(folder) : [];
    if (!folder || !files.some(filter)) {
      throw new HubError(`${repo}@${revision} is not in the cache ${settings.cacheDir}, and ${reason}`);
    }
    return folder;
  };
  if (settings.offline) return cached('offline mode is on (HF_HUB_OFFLINE)');

  let listing: Awaited<ReturnType<typeof listRepo>>;
  try {
    listing = await listRepo(settings, repo, revision, signal);
  } catch (error) {
    if (error instanceof HubError && error.status === undefined) return cached(error.message);
    throw error;
  }
  await cache.rememberCommit(revision, listing.commit);
  const folder = cache.snapshot(listing.commit);
  const wanted = listing.files.filter(filter);
  if (wanted.length === 0) throw new HubError(`${repo}@${revision} has none of the wanted files`);
  for (const file of wanted) {
    signal?.throwIfAborted();
    if (await isFile(join(folder, file))) continue;
    const remote = await findFile(settings, repo, listing.commit, file, signal);
    const blob = cache.blob(remote.etag);
    if (!(await isFile(blob))) {
      const report = (received: number, size: number | undefined) => onProgress?.({ file, received, size });
      await downloadBlob(settings, remote, blob, report, signal);
    }
    await linkBlob(blob, join(folder, file));
  }
  return folder;
}

/** A path that exists as it is; anything else as a hub id. What `fromPretrained` functions take. */
export async function resolveModel(pathOrId: string, options: SnapshotOptions = {}): Promise<string> {
  const exists = await stat(pathOrId).then(
    () => true,
    () => false,
  );
  return exists ? pathOrId : snapshotDownload(pathOrId, options);
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (info) => info.isFile(),
    () => false,
  );

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'));
}
