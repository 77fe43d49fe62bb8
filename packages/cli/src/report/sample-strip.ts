/** The images of an evaluation in one file, one below the other, with what belongs to them. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface SampleStrip {
  /** The PNG or JPEG, relative to the run's folder. */
  readonly file: string;
  /** Pixels of one image in the file. */
  readonly width: number;
  readonly height: number;
  readonly prompts: readonly string[];
  readonly rewards: readonly number[];
  /** How far each image is from the first evaluation's, root mean square over values in [0, 1]. */
  readonly changes?: readonly number[];
}

/** Larger images are made this wide: they are for looking at, not for scoring. */
const MAX_WIDTH = 512;
/** Small images are kept to the bit; larger ones as JPEG, which is a tenth of the size and opens at once. */
const MAX_LOSSLESS_WIDTH = 160;

/**
 * @param name of the file, without its extension
 * @param images RGB in [0, 1], [height, width, 3] each
 */
export async function writeStrip(
  folder: string,
  name: string,
  images: readonly ArrayLike<number>[],
  { width, height, prompts, rewards }: Omit<SampleStrip, 'file'>,
): Promise<SampleStrip> {
  const size = width * height * 3;
  const bytes = new Uint8Array(images.length * size);
  for (const [i, image] of images.entries()) {
    for (let j = 0; j < size; j++)
      bytes[i * size + j] = Math.round(Math.min(1, Math.max(0, image[j]!)) * 255);
  }
  const [shownWidth, shownHeight] =
    width > MAX_WIDTH ? [MAX_WIDTH, Math.round((height * MAX_WIDTH) / width)] : [width, height];
  const { default: sharp } = await import('sharp');
  const strip = sharp(bytes, { raw: { width, height: height * images.length, channels: 3 } }).resize(
    shownWidth,
    shownHeight * images.length,
    { fit: 'fill' },
  );
  const lossless = shownWidth <= MAX_LOSSLESS_WIDTH;
  const file = `${name}.${lossless ? 'png' : 'jpg'}`;
  const encoded = lossless ? strip.png() : strip.jpeg({ quality: 92, chromaSubsampling: '4:4:4' });
  await writeFile(join(folder, file), await encoded.toBuffer());
  return { file, width: shownWidth, height: shownHeight, prompts, rewards };
}

/**
 * The images of a strip as values in [0, 1], [height, width, 3] each.
 *
 * @throws when the file is missing or has another size than its record says.
 */
export async function readStrip(folder: string, strip: SampleStrip): Promise<Float32Array[]> {
  const path = join(folder, strip.file);
  const { default: sharp } = await import('sharp');
  const { data, info } = await sharp(await readFile(path))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const size = strip.width * strip.height * 3;
  if (info.width !== strip.width || data.length !== size * strip.prompts.length) {
    throw new Error(`${path}: ${info.width} × ${info.height} pixels are not ${strip.prompts.length} samples`);
  }
  return strip.prompts.map((_, i) =>
    Float32Array.from(data.subarray(i * size, (i + 1) * size), (byte) => byte / 255),
  );
}
