/** Checkpoints and prompts by path or hub id. */
import { stat } from 'node:fs/promises';
import { type DownloadProgress, type RepoType, snapshotDownload } from '@flow-grpo/checkpoint-io';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { bytes } from '../run/start-table';
import type { SetupContext } from './setup';

/** Tells which file is being downloaded, once for each. */
export function downloadMessages(onMessage: SetupContext['onMessage'], place?: string) {
  let announced = '';
  return ({ file, size }: DownloadProgress): void => {
    if (file === announced) return;
    announced = file;
    onMessage?.(`${place ? `${place}: ` : ''}downloading ${file}${size ? ` (${bytes(size)})` : ''}`);
  };
}

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
  try {
    return await snapshotDownload(place, {
      repoType,
      filter: wanted,
      onProgress: downloadMessages(onMessage, place),
      ...(signal && { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConfigError(`${option}: ${place} is no file here, and ${(error as Error).message}`, {
      cause: error,
    });
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
