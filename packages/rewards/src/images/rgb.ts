import type * as tf from '@tensorflow/tfjs-core';
import pLimit from 'p-limit';
import type { ScorerImages } from '../scorer';
import { decodeImage } from './decode';
import { quantise } from './quantise';
import type { RgbImage } from './rgb-image';

/** The number of images in a batch. */
export function imageCount(images: ScorerImages): number {
  return Array.isArray(images) ? images.length : images.shape[0];
}

/** Throws unless tensors are [B, H, W, 3]. */
export function checkImages(name: string, images: ScorerImages): void {
  if (!Array.isArray(images) && (images.rank !== 4 || images.shape[3] !== 3)) {
    throw new Error(`${name}: images must be [B, H, W, 3], not [${(images.shape as number[]).join(', ')}]`);
  }
}

/** Throws unless there are as many prompts and metadata as images, and tensors are [B, H, W, 3]. */
export function checkBatch(
  name: string,
  images: ScorerImages,
  prompts: readonly unknown[],
  metadata: readonly unknown[],
): void {
  checkImages(name, images);
  const count = imageCount(images);
  if (prompts.length !== count || metadata.length !== count) {
    throw new Error(
      `${name}: ${count} images, ${prompts.length} prompts and ${metadata.length} metadata; give one of each per image`,
    );
  }
}

/** Files decoded at once: each may take tens of megabytes. */
const DECODES = 4;

/** Brings a batch to the host as bytes: one read for a tensor; files as Pillow's `convert('RGB')` reads them. */
export async function rgbImages(images: ScorerImages): Promise<RgbImage[]> {
  if (!Array.isArray(images)) return tensorImages(images);
  const limit = pLimit(DECODES);
  return Promise.all(images.map((image, index) => limit(decodeImage, image, index)));
}

async function tensorImages(images: tf.Tensor4D): Promise<RgbImage[]> {
  const [count, height, width] = images.shape;
  const bytes = new Uint8Array(quantise(await images.data<'float32'>()).buffer);
  const length = height * width * 3;
  return Array.from({ length: count }, (_, i) => ({
    data: bytes.subarray(i * length, (i + 1) * length),
    width,
    height,
  }));
}
