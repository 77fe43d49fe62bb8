/** Hub repositories as folders on this disk: the shared cache, and downloads that resume and are checked. */
export type { RepoType } from './cache-layout';
export type { HubOptions } from './environment';
export { HubError } from './hub-error';
export {
  type DownloadProgress,
  type FilesOptions,
  type SnapshotFile,
  type SnapshotOptions,
  snapshotDownload,
  snapshotFiles,
} from './snapshot';
