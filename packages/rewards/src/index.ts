/** Scorers: images with their prompts in, one number an image out, with the parts of it by name. */
export type { EncodedImage, ScoreOptions, Scorer, ScorerImages, Scores } from './scorer';
export * from './shapes';
