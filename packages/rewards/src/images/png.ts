import type { RgbImage } from './rgb-image';

/** Encodes without loss. */
export async function encodePng({ data, width, height }: RgbImage): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
