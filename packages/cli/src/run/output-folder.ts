/** Whether a run's folder can be made and written: found out before a model is loaded. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError } from '@flow-grpo/grpo-trainer';

/**
 * Looks at the folder, or at what is there of the path to it; makes nothing.
 *
 * @throws {ConfigError} when a part of the path is a file, or may not be written.
 */
export async function checkOutput(output: string): Promise<void> {
  const problem = (what: string) =>
    new ConfigError(`output: ${output} cannot be the run's folder: ${what}; give another with -o FOLDER`);
  for (let path = resolve(output); ; path = dirname(path)) {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
    if (found instanceof Error) {
      const beyond = found.code === 'ENOENT' || found.code === 'ENOTDIR';
      if (beyond && path !== dirname(path)) continue;
      throw problem(found.message);
    }
    if (!found.isDirectory()) throw problem(`${path} is a file`);
    await access(path, constants.W_OK).catch(() => {
      throw problem(`${path} may not be written by this user`);
    });
    return;
  }
}

/**
 * That a folder is the one of a run, for commands that read it.
 *
 * @throws {ConfigError} when it is not there, or has no metrics of a run.
 */
export async function checkRunFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (!found)
    throw new ConfigError(`${folder} does not exist; give the folder of a run, such as runs/default`);
  if (!found.isDirectory())
    throw new ConfigError(`${folder} is a file; give the folder of a run, such as runs/default`);
  const metrics = await stat(resolve(folder, 'metrics.jsonl')).catch(() => undefined);
  if (!metrics) {
    throw new ConfigError(
      `${folder} is not the folder of a run: it has no metrics.jsonl; flow-grpo train -o ${folder} makes one`,
    );
  }
}
