import type { RgbImage } from './rgb-image';

/** The JFIF segment Pillow writes behind the start marker and libvips leaves out: version 1.1, aspect ratio 1:1. */
const JFIF = Uint8Array.of(0xff, 0xe0, 0, 16, 0x4a, 0x46, 0x49, 0x46, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0);

/**
 * Encodes as Pillow's `save(format='JPEG')` does, byte for byte with libjpeg-turbo 3: baseline, 4:2:0,
 * standard Huffman tables.
 *
 * @param quality 1 to 100; Pillow's default is 75
 */
export async function encodeJpeg({ data, width, height }: RgbImage, quality = 75): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  const file = await sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality, chromaSubsampling: '4:2:0', optimiseCoding: false })
    .toBuffer();
  if (file[2] === 0xff && file[3] === 0xe0) return file; // a libvips that writes the segment itself
  const withHeader = new Uint8Array(file.length + JFIF.length);
  withHeader.set(file.subarray(0, 2));
  withHeader.set(JFIF, 2);
  withHeader.set(file.subarray(2), 2 + JFIF.length);
  return withHeader;
}
