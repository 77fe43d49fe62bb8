import type { EncodedImage } from '../scorer';
import { checkFormat } from './formats';
import type { RgbImage } from './rgb-image';

/** What Pillow refuses as a decompression bomb. */
const MAX_PIXELS = 178_956_970;

/**
 * Decodes a file to the bytes of Pillow's `convert('RGB')`: colour profiles, gamma and orientation play no part, alpha is
 * dropped, of several frames the first counts.
 *
 * @throws naming the image's number in its batch
 */
export async function decodeImage({ bytes }: EncodedImage, index: number): Promise<RgbImage> {
  try {
    checkFormat(bytes);
    return await decode(bytes);
  } catch (error) {
    throw new Error(`image ${index} cannot be decoded: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

async function decode(bytes: Uint8Array): Promise<RgbImage> {
  const { default: sharp } = await import('sharp');
  const image = sharp(bytes, { ignoreIcc: true, limitInputPixels: MAX_PIXELS });
  const { space, channels } = await image.metadata();
  if (space === 'cmyk')
    return rgbOfCmyk(
      await image
        .pipelineColourspace('cmyk')
        .toColourspace('cmyk')
        .raw()
        .toBuffer({ resolveWithObject: true }),
    );
  if (space === 'grey16' && channels === 1) {
    return rgbOfGray16(
      await image.toColourspace('grey16').raw({ depth: 'ushort' }).toBuffer({ resolveWithObject: true }),
    );
  }
  const { data, info } = await image
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

interface Raw {
  data: Buffer;
  info: { width: number; height: number; channels: number };
}

/** Pillow's inks to light: 255 - K, less the share of each colour in it, in bytes. */
function rgbOfCmyk({ data, info: { width, height, channels } }: Raw): RgbImage {
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const at = pixel * channels;
    const light = 255 - data[at + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[at + c]! * light + 128;
      rgb[pixel * 3 + c] = Math.max(0, light - (((product >> 8) + product) >> 8));
    }
  }
  return { data: rgb, width, height };
}

/** Pillow clips gray levels of 16 bit to bytes; it does not scale them. */
function rgbOfGray16({ data, info: { width, height, channels } }: Raw): RgbImage {
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    rgb.fill(Math.min(255, data.readUInt16LE(pixel * channels * 2)), pixel * 3, pixel * 3 + 3);
  }
  return { data: rgb, width, height };
}
