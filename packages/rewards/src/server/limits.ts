/** What one request may ask for: files are checked by their headers before anything is decoded. */
import pLimit from 'p-limit';
import { checkFormat } from '../images/formats';
import type { EncodedImage } from '../scorer';
import { BadRequest } from './requests';

export interface RequestLimits {
  /** Most images of a request. */
  readonly maxImages: number;
  /** Most pixels of an image, and of all images of a request together. */
  readonly maxPixels: number;
  readonly maxTotalPixels: number;
}

/** Headers read at once. */
const HEADERS = 4;

/** @throws {BadRequest} naming the image and the limit */
export async function checkImages(images: readonly EncodedImage[], limits: RequestLimits): Promise<void> {
  const { maxImages, maxPixels, maxTotalPixels } = limits;
  if (images.length > maxImages) {
    throw new BadRequest(`${images.length} images in a request; at most ${maxImages} are scored`);
  }
  const limit = pLimit(HEADERS);
  const sizes = await Promise.all(
    images.map((image, i) => limit(async () => ({ i, pixels: await pixelsOf(image, i) }))),
  );
  let total = 0;
  for (const { i, pixels } of sizes) {
    if (pixels > maxPixels)
      throw new BadRequest(`image ${i} has ${pixels} pixels; at most ${maxPixels} are decoded`);
    total += pixels;
  }
  if (total > maxTotalPixels) {
    throw new BadRequest(`the images have ${total} pixels together; at most ${maxTotalPixels} are decoded`);
  }
}

async function pixelsOf({ bytes }: EncodedImage, i: number): Promise<number> {
  const { default: sharp } = await import('sharp');
  try {
    checkFormat(bytes);
    const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    return width * height;
  } catch (error) {
    throw new BadRequest(`image ${i} cannot be decoded: ${error instanceof Error ? error.message : error}`);
  }
}
