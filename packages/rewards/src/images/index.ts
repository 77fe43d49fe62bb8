/** Images on the host and the exact bytes that the Python scorers would see. */
export { encodeJpeg } from './jpeg';
export { encodePng } from './png';
export { quantise } from './quantise';
export { checkBatch, checkImages, imageCount, type RgbImage, rgbImages } from './rgb';
