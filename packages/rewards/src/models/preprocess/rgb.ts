import type { ScorerImages } from '../../scorer';

/** A picture as 8-bit RGB, row by row: `data` holds height · width · 3 bytes. */
export interface RgbImage {
  data: Uint8Array;
  width: number;
  height: number;
}

/** One value in [0, 1] as a byte: x · 255 in float32, rounded half to even, clamped (PyTorch's `round`). */
export function toByte(value: number): number {
  const scaled = Math.fround(Math.fround(value) * 255);
  const below = Math.floor(scaled);
  const rest = scaled - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0);
  return Math.min(Math.max(up ? below + 1 : below, 0), 255);
}

/**
 * Brings images to the host as bytes: a tensor [B, H, W, 3] in [0, 1] with one read, or image files decoded
 * (an alpha channel is dropped, as Pillow's `convert('RGB')` does). Throws on other tensor shapes and on files
 * that cannot be decoded, naming the image's index.
 */
export async function rgbImages(images: ScorerImages): Promise<RgbImage[]> {
  if (Array.isArray(images)) {
    const { default: sharp } = await import('sharp');
    return Promise.all(
      images.map(async ({ bytes }, index) => {
        try {
          const decoded = sharp(bytes).removeAlpha().toColourspace('srgb').raw();
          const { data, info } = await decoded.toBuffer({ resolveWithObject: true });
          if (info.channels !== 3) throw new Error(`it decodes to ${info.channels} channels, not 3`);
          return { data: new Uint8Array(data), width: info.width, height: info.height };
        } catch (error) {
          throw new Error(`Image ${index} cannot be read as RGB: ${(error as Error).message}`);
        }
      }),
    );
  }
  const [count, height, width, channels] = images.shape;
  if (images.rank !== 4 || channels !== 3) {
    throw new Error(`Images must be [B, H, W, 3], not [${images.shape as number[]}].`);
  }
  const values = await images.data<'float32'>();
  const length = height * width * 3;
  return Array.from({ length: count }, (_, i) => {
    const data = new Uint8Array(length);
    for (let k = 0; k < length; k++) data[k] = toByte(values[i * length + k]!);
    return { data, width, height };
  });
}
