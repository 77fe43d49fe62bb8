/** Wan 2.1's VAE: images and video to latents and back, causal in time, in upstream's names and numbers. */
export { checkVaeConfig, spatialFactor, temporalFactor, WAN21_VAE, type WanVaeConfig } from './config';
export { initVaeParams } from './init';
export { parseVaeConfig, vaeConfigJson } from './parse-config';
export { vaeParamShapes } from './shapes';
export { decodeImageTiled, encodeImageTiled } from './tiling';
export {
  type CoderOptions,
  decodeImage,
  decodeInPieces,
  decodeVideo,
  encodeImage,
  encodeInPieces,
  encodeVideo,
  type Posterior,
  samplePosterior,
} from './wan-vae';
