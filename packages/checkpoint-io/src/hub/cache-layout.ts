import { copyFile, lstat, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { HubError } from './hub-error';

/** What kind of repository the hub has; the two have names of their own. */
export type RepoType = 'model' | 'dataset';

/**
 * The folders of one repository in the cache that huggingface_hub and its kin share:
 * `models--ORG--NAME/{refs/REVISION, blobs/ETAG, snapshots/COMMIT/FILE → blob}`; `datasets--…` for data sets.
 */
export interface RepoCache {
  readonly blob: (etag: string) => string;
  readonly snapshot: (commit: string) => string;
  /** The commit a branch or tag pointed to when it was last asked for. */
  readonly commitOf: (revision: string) => Promise<string | undefined>;
  readonly rememberCommit: (revision: string, commit: string) => Promise<void>;
}

export function repoCache(cacheDir: string, repo: string, type: RepoType = 'model'): RepoCache {
  const root = join(cacheDir, `${type}s--${repo.replaceAll('/', '--')}`);
  const ref = (revision: string) => join(root, 'refs', revision);
  return {
    blob: (etag) => join(root, 'blobs', etag),
    snapshot: (commit) => join(root, 'snapshots', commit),
    commitOf: async (revision) => {
      if (isCommit(revision)) return revision;
      const text = await readFile(ref(revision), 'utf8').catch(() => '');
      return isCommit(text.trim()) ? text.trim() : undefined;
    },
    rememberCommit: async (revision, commit) => {
      if (isCommit(revision)) return;
      await mkdir(dirname(ref(revision)), { recursive: true });
      await writeFile(ref(revision), commit);
    },
  };
}

export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/** Makes `path` show `blob`: a relative link, or a copy where links are not allowed. */
export async function linkBlob(blob: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const isThere = await lstat(path).then(
    () => true,
    () => false,
  );
  if (isThere) await rm(path);
  try {
    await symlink(relative(dirname(path), blob), path);
  } catch (error) {
    if (!['EPERM', 'ENOSYS', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    await copyFile(blob, `${path}.tmp`);
    await rename(`${path}.tmp`, path);
  }
}

/** Refuses repository ids, revisions and file names that would leave their folder. */
export function checkPathPart(what: string, value: string): void {
  const parts = value.split('/');
  if (
    value.includes('\\') ||
    value.includes('\0') ||
    parts.some((part) => part === '' || part === '.' || part === '..')
  ) {
    throw new HubError(`${what} ${JSON.stringify(value)} is not usable as a path`);
  }
}
