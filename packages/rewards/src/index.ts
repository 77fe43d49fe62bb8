/** Scorers: images with their prompts in, one number an image out, with the parts of it by name. */

export * from './by-name';
export * from './compose';
export { jpegCompressibility, jpegIncompressibility } from './jpeg/jpeg-size';
export * from './judge';
export * from './models';
export * from './ocr';
export * from './remote';
export type { EncodedImage, ScoreOptions, Scorer, ScorerImages, Scores } from './scorer';
export { type RewardServerClientOptions, rewardServer } from './server/client';
export { type RewardProcessOptions, rewardProcess } from './server/reward-process';
export { type RewardServer, type ServeOptions, serve } from './server/serve';
export * from './shapes';
