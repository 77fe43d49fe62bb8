/** The text encoder: Qwen3, the chat layout around a prompt, and which of its states are used. */
export { chatText, idBatch, MAX_TOKENS, promptIds } from './chat';
export {
  isUsed,
  parseTextEncoderConfig,
  QWEN3_4B,
  TEXT_LAYERS,
  type TextEncoderConfig,
  textEncoderConfigJson,
  textEncoderSpecs,
} from './config';
export { encodeTokens, textRotary } from './encode';
