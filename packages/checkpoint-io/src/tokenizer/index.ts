/** Byte-level BPE tokenizers of the hub, checked before anything is made of them. Imports nothing of Node. */

export { spelledByteLevel } from './byte-level';
export {
  type AddedToken,
  type BytePairOptions,
  type BytePairTokenizer,
  bytePairTokenizer,
  type TokenizerConfigJson,
} from './byte-pair';
export type { TokenizerJson } from './schema';
