/** Model checkpoints on disk and on the hub, read tensor by tensor and written atomically. */
export { writeFileAtomic } from './atomic-file';
export type { Dtype } from './bytes/dtypes';
export { type ByteSource, memorySource } from './bytes/source';
export type { Values } from './bytes/widen';
export type { Checkpoint, TensorInfo } from './checkpoint';
export { CheckpointError, KeyMismatchError, type ShapeMismatch } from './errors';
export {
  type DownloadProgress,
  type FilesOptions,
  HubError,
  type HubOptions,
  type RepoType,
  type SnapshotFile,
  type SnapshotOptions,
  snapshotDownload,
  snapshotFiles,
} from './hub/index';
export { type CheckKeysOptions, checkKeys, shapesOf } from './keys';
export { type LoadOptions, type LoadProgress, loadParams } from './load';
export { checkpointFiles, type OpenOptions, openCheckpoint, openSource, storedShapes } from './open';
export {
  fromDiffusers,
  fromPeft,
  type LoadedLora,
  loadLora,
  type PeftConfig,
  type SaveLoraOptions,
  saveLora,
  toDiffusers,
  toPeft,
} from './peft';
export { readJson } from './read-json';
export type { FloatDtype, RawTensor, Savable } from './safetensors/write';
export { type SaveOptions, saveSafetensors } from './save';
export {
  checkpointChoice,
  type FetchedFiles,
  type FetchFilesOptions,
  type FileChoice,
  type FileChoices,
  type FindFilesOptions,
  type FoundFiles,
  fetchFiles,
  fetchPart,
  fileChoice,
  findFiles,
  firstChoice,
  folderChoice,
  MissingFilesError,
  mainFileChoice,
  optionalChoice,
  parseSource,
  type RequiredFiles,
  resolveModel,
  type Source,
  type SourceOptions,
} from './sources';
export { loadBytePairTokenizer, readTokenizer } from './tokenizer/load';
