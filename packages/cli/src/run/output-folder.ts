/** Checks that a run's folder can be created and written, before a model is loaded. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError } from '@flow-grpo/grpo-trainer';

/**
 * Checks the folder, or the existing part of its path; creates nothing.
 *
 * @throws {ConfigError} when part of the path is a file or is not writable.
 */
export async function checkOutput(output: string): Promise<void> {
  const problem = (what: string) =>
    new ConfigError(`output: ${output} cannot be the run's folder: ${what}; choose another with -o FOLDER`);
  for (let path = resolve(output); ; path = dirname(path)) {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
    if (found instanceof Error) {
      const beyond = found.code === 'ENOENT' || found.code === 'ENOTDIR';
      if (beyond && path !== dirname(path)) continue;
      throw problem(found.message);
    }
    if (!found.isDirectory()) throw problem(`${path} is a file`);
    await access(path, constants.W_OK).catch(({ code }: NodeJS.ErrnoException) => {
      throw problem(
        code === 'EROFS' ? `${path} is on a read-only file system` : `${path} is not writable for this user`,
      );
    });
    return;
  }
}

/** What a run's folder has: the last two already before the first epoch, which may take long. */
const RUN_PARTS = ['metrics.jsonl', 'evaluations.jsonl', 'checkpoints'];

/**
 * Checks that a folder is a run's, which may have just begun, for commands that read it.
 *
 * @throws {ConfigError} when it does not exist, or has nothing of a run.
 */
export async function checkRunFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (!found)
    throw new ConfigError(`${folder} does not exist; give the folder of a run, such as runs/default`);
  if (!found.isDirectory())
    throw new ConfigError(`${folder} is a file; give the folder of a run, such as runs/default`);
  const parts = RUN_PARTS.map((name) => stat(resolve(folder, name)).catch(() => undefined));
  if ((await Promise.all(parts)).every((found) => found === undefined)) {
    throw new ConfigError(
      `${folder} is not the folder of a run: it has no metrics.jsonl; flow-grpo train -o ${folder} makes one`,
    );
  }
}
