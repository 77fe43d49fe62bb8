import { randomBytes } from 'node:crypto';
import { copyFile, readFile, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { writeFileAtomic } from '../atomic-file';
import { makeFolder } from '../make-folder';
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
      makeFolder(dirname(ref(revision)));
      await writeFileAtomic(ref(revision), commit);
    },
  };
}

export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/**
 * Makes `path` show `blob`: a relative link, or a copy where links are not allowed. Nobody sees it missing meanwhile.
 * Throws a {@link HubError} when something else than a file is in the way.
 */
export async function linkBlob(blob: string, path: string): Promise<void> {
  const temporary = join(
    dirname(path),
    `.${basename(path).slice(0, 60)}.${randomBytes(6).toString('hex')}.tmp`,
  );
  try {
    makeFolder(dirname(path));
    try {
      await symlink(relative(dirname(path), blob), temporary);
    } catch (error) {
      if (!['EPERM', 'ENOSYS', 'EINVAL'].includes(codeOf(error))) throw error;
      await copyFile(blob, temporary);
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}); // where a folder is a file, nothing was made
    if (!['EISDIR', 'ENOTDIR', 'EEXIST', 'ENOTEMPTY'].includes(codeOf(error))) throw error;
    throw new HubError(
      `${path} cannot be placed: a file or folder of another kind is in the way`,
      undefined,
      {
        cause: error,
      },
    );
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/** Refuses lists of files in which one is the folder of another: no disk can hold both. */
export function checkNoClash(what: string, files: readonly string[]): void {
  const names = new Set(files);
  for (const file of files) {
    for (let at = file.indexOf('/'); at >= 0; at = file.indexOf('/', at + 1)) {
      const folder = file.slice(0, at);
      if (names.has(folder)) {
        throw new HubError(
          `${what} lists ${JSON.stringify(folder)} as a file and as the folder of ${JSON.stringify(file)}`,
        );
      }
    }
  }
}

/** Bytes of a name that file systems allow. */
const MAX_NAME_BYTES = 255;

/** Refuses repository ids, revisions and file names that would leave their folder. */
export function checkPathPart(what: string, value: string): void {
  const parts = value.split('/');
  if (
    /[\\\p{Cc}]|\p{Surrogate}/u.test(value) ||
    (process.platform === 'win32' && /[:*?"<>|]/.test(value)) ||
    parts.some((part) => ['', '.', '..'].includes(part) || Buffer.byteLength(part) > MAX_NAME_BYTES)
  ) {
    throw new HubError(`${what} ${JSON.stringify(value)} is not usable as a path`);
  }
}
