/** Text in images: the target in the prompt, what was read, and how far they are apart. */
export { type OcrEngine, paddleOcr } from './engine';
export { type OcrOptions, ocr } from './ocr';
export { editDistance, quotedTarget, type TextLine, type TextScore, textScore } from './text-score';
export { type ScorerVideos, type VideoOcrOptions, type VideoScorer, videoOcr } from './video-ocr';
