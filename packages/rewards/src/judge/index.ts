/** Vision language models as judges: the request, and replies to scores as flow_grpo reads them. */
export { type OpenaiVisionOptions, openaiVision } from './openai-vision';
export { finalScore, taggedScore } from './parse';
