/** Checkpoints and prompts by path or hub id, for a run: errors name its options. */
import {
  type DownloadProgress,
  type FetchedFiles,
  type FileChoices,
  fetchFiles,
  type RequiredFiles,
} from '@flow-grpo/checkpoint-io';
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
 * The required files on this disk, downloaded where they must be.
 *
 * @throws {ConfigError} naming the option, when they are not there.
 */
export async function openSource<Files extends FileChoices>(
  required: RequiredFiles<Files>,
  { signal, onMessage }: SetupContext,
): Promise<FetchedFiles<Files>> {
  try {
    return await fetchFiles(required, {
      onDownload: downloadMessages(onMessage, required.source),
      ...(signal && { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConfigError(`${required.option}: ${(error as Error).message}`, { cause: error });
  }
}
