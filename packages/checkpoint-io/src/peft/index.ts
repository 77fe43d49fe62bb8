/** Low-rank adapters in the folders that PEFT reads and writes. */
export { loadLora, saveLora } from './folder';
export { fromPeft, type LoadedLora, type PeftConfig, toPeft } from './layout';
