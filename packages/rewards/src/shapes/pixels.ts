import type { ScorerImages } from '../scorer';

/** Pixels of one image on the host: HWC, three channels in [0, 1]. */
export interface Pixels {
  data: ArrayLike<number>;
  width: number;
  height: number;
}

/** Brings a batch to the host with one read (or decodes its files). */
export async function hostPixels(images: ScorerImages): Promise<Pixels[]> {
  if (Array.isArray(images)) {
    const { default: sharp } = await import('sharp');
    return Promise.all(
      images.map(async ({ bytes }) => {
        const decoded = sharp(bytes).flatten({ background: 'white' }).toColourspace('srgb').raw();
        const { data, info } = await decoded.toBuffer({ resolveWithObject: true });
        if (info.channels !== 3) throw new Error(`shapeEval: an image has ${info.channels} channels, not 3`);
        return { data: Float32Array.from(data, (v) => v / 255), width: info.width, height: info.height };
      }),
    );
  }
  const [count, height, width, channels] = images.shape;
  if (images.rank !== 4 || channels !== 3) {
    throw new Error(`shapeEval: images must be [B, H, W, 3], not [${(images.shape as number[]).join(', ')}]`);
  }
  const values = await images.data<'float32'>();
  const length = height * width * 3;
  return Array.from({ length: count }, (_, i) => ({
    data: values.subarray(i * length, (i + 1) * length),
    width,
    height,
  }));
}
