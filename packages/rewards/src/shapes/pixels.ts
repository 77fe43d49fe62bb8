import { rgbImages } from '../images';
import type { ScorerImages } from '../scorer';

/** Pixels of one image on the host: HWC, three channels in [0, 1]. */
export interface Pixels {
  data: ArrayLike<number>;
  width: number;
  height: number;
}

/** Brings a batch to the host with one read, as the floats it holds; files are decoded. */
export async function hostPixels(images: ScorerImages): Promise<Pixels[]> {
  if (Array.isArray(images)) {
    const decoded = await rgbImages(images);
    return decoded.map(({ data, ...size }) => ({ data: Float32Array.from(data, (v) => v / 255), ...size }));
  }
  const [count, height, width] = images.shape;
  const values = await images.data<'float32'>();
  const length = height * width * 3;
  return Array.from({ length: count }, (_, i) => ({
    data: values.subarray(i * length, (i + 1) * length),
    width,
    height,
  }));
}
