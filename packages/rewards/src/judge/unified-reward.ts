import type { Scorer } from '../scorer';
import { type OpenaiVisionOptions, openaiVision } from './openai-vision';
import { finalScore } from './parse';

export interface UnifiedRewardOpenaiOptions
  extends Omit<OpenaiVisionOptions, 'model' | 'question' | 'parse' | 'schema' | 'resize'> {
  /** Name of the served model. Default `UnifiedReward-7b-v1.5`. */
  model?: string;
}

/**
 * What UnifiedReward (Wang et al. 2025) was trained to be asked: its own prompt, which flow_grpo sends. The
 * model answers to this wording, so it is kept to the letter and must not be edited.
 */
const QUESTION = [
  '<image>',
  'You are given a text caption and a generated image based on that caption. Your task is to evaluate this image based on two key criteria:',
  '1. Alignment with the Caption: Assess how well this image aligns with the provided caption. Consider the accuracy of depicted objects, their relationships, and attributes as described in the caption.',
  '2. Overall Image Quality: Examine the visual quality of this image, including clarity, detail preservation, color accuracy, and overall aesthetic appeal.',
  "Based on the above criteria, assign a score from 1 to 5 after 'Final Score:'.",
  'Your task is provided as follows:',
  'Text Caption: [',
].join('\n');

/** UnifiedReward's question about an image of this caption. */
export const unifiedRewardQuestion = (caption: string): string => `${QUESTION}${caption}]`;

/**
 * UnifiedReward behind an OpenAI-compatible server (vLLM, SGLang) as flow_grpo asks it: images resized to
 * 512 × 512 with Pillow's bicubic, temperature 0, `Final Score: N` over 5. Servers of the pickle protocol are
 * for `unifiedReward`.
 */
export function unifiedRewardOpenai(options: UnifiedRewardOpenaiOptions): Scorer {
  return openaiVision({
    name: 'unifiedreward',
    model: 'UnifiedReward-7b-v1.5',
    ...options,
    question: unifiedRewardQuestion,
    parse: finalScore,
    resize: { width: 512, height: 512 },
  });
}
