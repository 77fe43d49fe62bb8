/** Checkpoints and prompts by path or hub id. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type DownloadProgress, type RepoType, snapshotDownload } from '@flow-grpo/checkpoint-io';
import { ConfigError } from '../config/resolve';
import type { SetupContext } from './setup';

/**
 * The folder of a path (as it is) or of a hub id (its wanted files downloaded, or taken from the cache).
 *
 * @throws {ConfigError} naming the option, when the hub does not have it.
 */
export async function openSource(
  place: string,
  option: string,
  wanted: (file: string) => boolean,
  { signal, onMessage }: SetupContext,
  repoType: RepoType = 'model',
): Promise<string> {
  if (await exists(place)) return place;
  let announced = '';
  const onProgress = ({ file, size }: DownloadProgress) => {
    if (file === announced) return;
    announced = file;
    onMessage?.(`${place}: downloading ${file}${size ? ` (${(size / 1e9).toFixed(2)} GB)` : ''}`);
  };
  try {
    return await snapshotDownload(place, {
      repoType,
      filter: wanted,
      onProgress,
      ...(signal && { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConfigError(`${option}: ${place} is no file here, and ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** The same for one file of a folder or repository; a path without it is taken as it is. */
export async function openFile(
  place: string,
  option: string,
  file: string,
  context: SetupContext,
): Promise<string> {
  const folder = await openSource(place, option, (name) => name === file, context);
  const inside = join(folder, file);
  return folder !== place || (await exists(inside)) ? inside : place;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
