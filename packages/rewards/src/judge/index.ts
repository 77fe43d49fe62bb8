/** Vision language models as judges: the request, and turning replies into scores. */
export { type OpenaiVisionOptions, openaiVision } from './openai-vision';
export { finalScore, taggedScore } from './parse';
export { type JudgeTemplate, type ScoreTemplateOptions, scoreTemplate } from './template';
export {
  type UnifiedRewardOpenaiOptions,
  unifiedRewardOpenai,
  unifiedRewardQuestion,
} from './unified-reward';
