import { join } from 'node:path';
import { HubError } from '../hub/hub-error';
import { type SnapshotOptions, snapshotDownload } from '../hub/snapshot';
import { parseSource } from './source';

/**
 * The path of a model: one that exists as it is; anything else is a hub id (`org/name`, `org/name@revision`) whose
 * files are downloaded, or one file of a repository (`org/name/file`).
 *
 * @throws {HubError} when there is neither such a path nor such a repository
 */
export async function resolveModel(pathOrId: string, options: SnapshotOptions = {}): Promise<string> {
  try {
    const source = await parseSource(pathOrId);
    if (source.kind !== 'hub') return source.path;
    const { repo, file, revision } = source;
    const folder = await snapshotDownload(repo, {
      ...options,
      ...(revision !== undefined && { revision }),
      ...(file !== undefined && { filter: (name: string) => name === file }),
    });
    return file === undefined ? folder : join(folder, file);
  } catch (error) {
    if (error instanceof HubError)
      throw new HubError(`${pathOrId} does not exist here, and ${error.message}`, error.status, {
        cause: error,
      });
    throw error;
  }
}
