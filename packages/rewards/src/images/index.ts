/** Images on the host and the exact bytes that the Python scorers would see. */
export { encodeJpeg } from './jpeg';
export { encodePng } from './png';
export { quantise } from './quantise';
export { checkBatch, checkImages, imageCount, rgbImages } from './rgb';
export type { RgbImage } from './rgb-image';
