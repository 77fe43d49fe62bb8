/** Hub repositories as folders on this disk: the shared cache, and downloads that resume and are checked. */
export type { HubOptions } from './environment';
export { HubError } from './hub-error';
export { type DownloadProgress, resolveModel, type SnapshotOptions, snapshotDownload } from './snapshot';
