/** Pictures as the vision towers were trained to see them: Pillow's bytes, cropped and normalised. */
export {
  CLIP_MEAN,
  CLIP_STD,
  clipPixels,
  normalizeBytes,
  type PixelOptions,
  resizeAndCrop,
} from './clip-pixels';
export { type CropRounding, centerCrop, shorterEdgeSize } from './crop';
export { deviceClipPixels, deviceResizeAndCrop, deviceTensorPixels } from './device-pixels';
export { pillowResize } from './pillow-resize';
export { type TensorResize, tensorPixels } from './tensor-pixels';
export { type TowerPixels, towerPixels } from './tower-pixels';
