/** Where the scores go: made and checked before anything is scored. */
import { access, constants, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { UsageError } from './usage-error';

/**
 * Makes the folder for `names`; gives their paths.
 *
 * @throws {UsageError} where the folder or one of the files cannot be written
 */
export async function outputFiles<Name extends string>(
  folder: string,
  names: readonly Name[],
): Promise<Record<Name, string>> {
  const fail = (why: string) => {
    throw new UsageError(`--out ${folder}: ${why}; choose another folder`);
  };
  try {
    makeFolder(folder);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    fail(WHY[code ?? ''] ?? message);
  }
  await access(folder, constants.W_OK).catch(() => fail(WHY.EACCES!));
  const files = Object.fromEntries(names.map((name) => [name, join(folder, name)])) as Record<Name, string>;
  for (const name of names) {
    const found = await stat(files[name]).catch(() => undefined);
    if (found?.isDirectory()) fail(`${name} in it is a folder`);
    if (found)
      await access(files[name], constants.W_OK).catch(() => fail(`${name} in it cannot be overwritten`));
  }
  return files;
}

/** Why a folder cannot be made. */
const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'no folder can be created there',
  EEXIST: 'this is a file, not a folder',
  ENOTDIR: 'part of this path is a file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
};
