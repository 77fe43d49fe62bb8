/** Text in images: the target in the prompt, what was read, and how far they are apart. */
export { editDistance, quotedTarget, type TextLine, type TextScore, textScore } from './text-score';
