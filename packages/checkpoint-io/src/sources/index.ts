/** Where models come from, described once: what is read of a path or a hub repository, what is missing, and loading it. */
export {
  allMatching,
  checkpointChoice,
  type FileChoice,
  fileChoice,
  firstChoice,
  folderChoice,
  mainFileChoice,
  optionalChoice,
} from './choices';
export { fetchPart, type SourceOptions } from './fetch-part';
export {
  type FetchedFiles,
  type FetchFilesOptions,
  type FindFilesOptions,
  type FoundFiles,
  fetchFiles,
  findFiles,
} from './find';
export { type FileChoices, MissingFilesError, type RequiredFiles } from './required';
export { resolveModel } from './resolve-model';
export { parseSource, type Source } from './source';
