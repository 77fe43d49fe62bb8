import type { HubOptions } from '../hub/environment';
import { type FetchFilesOptions, fetchFiles } from './find';
import type { RequiredFiles } from './required';

/** How the loaders of models reach their sources. */
export interface SourceOptions {
  /** For hub ids: endpoint, token, cache and offline mode, the environment's by default; and the model's revision. */
  hub?: HubOptions & { revision?: string };
  /** Called with the progress of each download. */
  onDownload?: FetchFilesOptions['onDownload'];
  signal?: AbortSignal;
}

/** The required files of one part on this disk. */
export const fetchPart = <Files extends RequiredFiles['files']>(
  required: RequiredFiles<Files>,
  { hub: { revision: _, ...hub } = {}, onDownload, signal }: SourceOptions,
) => fetchFiles(required, { hub, ...(onDownload && { onDownload }), ...(signal && { signal }) });
