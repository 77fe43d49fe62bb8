import type { RgbImage } from '../../images';

/** The size at which the shorter edge is `edge` and the longer keeps the aspect, truncated. */
export function shorterEdgeSize(width: number, height: number, edge: number): [number, number] {
  const long = Math.trunc((edge * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? [edge, long] : [long, edge];
}

/** How a crop offset that is not whole is rounded: `floor` (transformers) or `even` (torchvision, half to even). */
export type CropRounding = 'floor' | 'even';

/** Where a crop of `crop` samples starts in `size`; negative when the picture is smaller. */
export function cropOffset(size: number, crop: number, rounding: CropRounding): number {
  const half = (size - crop) / 2;
  if (half < 0) return -Math.ceil(-half);
  const below = Math.floor(half);
  return rounding === 'even' && half !== below && below % 2 !== 0 ? below + 1 : below;
}

/** The centre `crop` x `crop` pixels; what lies outside the picture is zero bytes. */
export function centerCrop(image: RgbImage, crop: number, rounding: CropRounding = 'floor'): RgbImage {
  const top = cropOffset(image.height, crop, rounding);
  const left = cropOffset(image.width, crop, rounding);
  const data = new Uint8Array(crop * crop * 3);
  const from = Math.max(left, 0);
  const to = Math.min(left + crop, image.width);
  for (let y = Math.max(top, 0); y < Math.min(top + crop, image.height); y++) {
    const row = image.data.subarray((y * image.width + from) * 3, (y * image.width + to) * 3);
    data.set(row, ((y - top) * crop + from - left) * 3);
  }
  return { data, width: crop, height: crop };
}
