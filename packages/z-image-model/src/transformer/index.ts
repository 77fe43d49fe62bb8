/** The transformer: sizes, parameters, refined captions and velocities. */
export {
  paddedLength,
  parseTransformerConfig,
  type TransformerConfig,
  transformerConfigJson,
  Z_IMAGE_TRANSFORMER,
} from './config';
export type { Grid } from './positions';
export { BLOCKS, transformerSpecs } from './specs';
export {
  type Captions,
  refineCaptions,
  type TextStates,
  zImageVelocity,
  zImageVelocityOfSizes,
} from './transformer';
