/** AutoencoderKL: images to latents and back. */
export {
  decodeLatents,
  decodeLatentsTiled,
  encodeImages,
  encodeImagesTiled,
  encodePosterior,
  type Posterior,
  unscaleLatents,
} from './autoencoder';
export {
  type AutoencoderConfig,
  autoencoderConfigJson,
  parseAutoencoderConfig,
  spatialFactor,
  Z_IMAGE_AUTOENCODER,
} from './config';
export { autoencoderSpecs } from './plan';
