/** Low-rank adapters as PEFT's folders and diffusers' files hold them. */
export { fromDiffusers, toDiffusers } from './diffusers';
export { loadLora, type SaveLoraOptions, saveLora } from './folder';
export { fromPeft, type LoadedLora, type PeftConfig, toPeft } from './layout';
