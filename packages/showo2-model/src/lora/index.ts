/** Low-rank adapters on the model's linear layers, in PEFT's layout on disk. */
export { initLora, type LoraConfig, type LoraScale, mergeLora, withLora } from './adapters';
export { fromPeft, type LoadedLora, type PeftConfig, toPeft } from './peft';
