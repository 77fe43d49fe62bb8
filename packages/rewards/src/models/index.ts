/** Rewards from models on the tensor backend, with the preprocessing of their reference implementations. */
export { pillowResize, type RgbImage, rgbImages } from './preprocess/index';
