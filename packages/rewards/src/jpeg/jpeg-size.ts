import { checkedScorer } from '../checked-scorer';
import { encodeJpeg, rgbImages } from '../images';
import type { Scorer } from '../scorer';

const QUALITY = 95;

/**
 * Kilobytes (1000 bytes) of the image as JPEG of quality 95: the very sizes Pillow gives. Rewards detail and
 * noise. flow_grpo's `jpeg_incompressibility`. Encoded files are decoded first, so any format may come in.
 */
export function jpegIncompressibility(): Scorer {
  return jpegSize('jpeg_incompressibility', (kilobytes) => kilobytes);
}

/** Minus the JPEG size in kilobytes, over 500: rewards plain images. flow_grpo's `jpeg_compressibility`. */
export function jpegCompressibility(): Scorer {
  return jpegSize('jpeg_compressibility', (kilobytes) => -kilobytes / 500);
}

const jpegSize = (name: string, reward: (kilobytes: number) => number): Scorer =>
  checkedScorer(name, async (images, _prompts, _metadata, { signal }) => {
    const pixels = await rgbImages(images);
    signal?.throwIfAborted();
    const bytes = await Promise.all(
      pixels.map(async (image) => (await encodeJpeg(image, QUALITY)).byteLength),
    );
    return { scores: bytes.map((count) => reward(count / 1000)), details: { bytes } };
  });
