/** What a batch of images looks like, in a few numbers that fall or rise when a reward is gamed: computed on the device. */
import * as tf from '@tensorflow/tfjs-core';

/** Names of the statistics, in the order in which `imageStatistics` stacks them; the counts of colours follow. */
const NAMES = ['brightness', 'nearBlack', 'nearWhite', 'edgeDensity', 'sharpness', 'diversity'] as const;

/**
 * - `brightness`: mean luminance, 0 … 1
 * - `nearBlack`, `nearWhite`: share of pixels whose channels are all below 0.2, or all above 0.98
 * - `edgeDensity`: share of pixels whose luminance differs by more than 0.1 from the next one's, right or below
 * - `sharpness`: root mean square of the luminance's Laplacian
 * - `colorEntropy`: entropy in nats of how often each of 64 coarse colours (4 levels per channel) occurs, 0 … ln 64
 * - `diversity`: standard deviation of a pixel between images of one prompt, root mean square over pixels
 */
export type ImageStatistics = Readonly<Partial<Record<(typeof NAMES)[number] | 'colorEntropy', number>>>;

const DARK = 0.2;
const LIGHT = 0.98;
const EDGE = 0.1;
const LEVELS = 4;
/** Colours are counted, and images compared, on so many pixels along a side at most. */
const GRID = 16;

/**
 * The statistics of a batch as one vector, in `jit` or outside: see `readImageStatistics`.
 *
 * @param images [B, H, W, 3] in [0, 1]; what lies outside counts as the nearest end
 * @param group how many images in a row have one prompt, as far as the batch goes; a divisor of B. With 1 there is no diversity
 */
export function imageStatistics(images: tf.Tensor4D, group: number): tf.Tensor1D {
  return tf.tidy(() => {
    const [count, height, width] = images.shape;
    const pixels = tf.clipByValue(images, 0, 1);
    const luminance = tf.sum(tf.mul(pixels, tf.tensor1d([0.299, 0.587, 0.114])), 3) as tf.Tensor3D;
    const share = (condition: tf.Tensor) => tf.mean(tf.cast(condition, 'float32'));
    const nowhere = tf.scalar(Number.NaN);
    const small = sparse(pixels);
    return tf.concat1d([
      tf.stack([
        tf.mean(luminance),
        share(tf.less(tf.max(pixels, 3), DARK)),
        share(tf.greater(tf.min(pixels, 3), LIGHT)),
        height > 1 && width > 1 ? share(tf.greater(steepness(luminance), EDGE)) : nowhere,
        height > 2 && width > 2 ? tf.sqrt(tf.mean(tf.square(laplacian(luminance)))) : nowhere,
        group > 1 ? spread(small, count, group) : nowhere,
      ]) as tf.Tensor1D,
      colorCounts(small),
    ]);
  });
}

/**
 * The numbers of an epoch: means over its batches, which are equally large; what could not be measured is left out.
 *
 * @param batches what `imageStatistics` gave for each, as read from the device
 */
export function readImageStatistics(batches: readonly ArrayLike<number>[]): ImageStatistics {
  const mean = (i: number) => batches.reduce((sum, batch) => sum + batch[i]!, 0) / batches.length;
  // Of variances: the standard deviation of the epoch is no mean of those of batches.
  const named = NAMES.map((name, i) => [
    name,
    name === 'diversity' || name === 'sharpness'
      ? Math.sqrt(batches.reduce((sum, batch) => sum + batch[i]! ** 2, 0) / batches.length)
      : mean(i),
  ]);
  const counts = Array.from({ length: LEVELS ** 3 }, (_, i) => mean(NAMES.length + i));
  const statistics = Object.fromEntries([...named, ['colorEntropy', entropy(counts)]]);
  return Object.fromEntries(Object.entries(statistics).filter(([, value]) => Number.isFinite(value)));
}

/** In nats. */
function entropy(counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce(
    (sum, count) => (count > 0 ? sum - (count / total) * Math.log(count / total) : sum),
    0,
  );
}

/** Some of the pixels, evenly: at most GRID along a side, as they are. */
function sparse(pixels: tf.Tensor4D): tf.Tensor4D {
  const [count, height, width] = pixels.shape;
  const step = (side: number) => Math.ceil(side / GRID);
  return tf.stridedSlice(
    pixels,
    [0, Math.floor(step(height) / 2), Math.floor(step(width) / 2), 0],
    [count, height, width, 3],
    [1, step(height), step(width), 1],
  ) as tf.Tensor4D;
}

/** The larger of the differences to the next pixel, right and below: [B, H − 1, W − 1]. */
function steepness(luminance: tf.Tensor3D): tf.Tensor {
  const [count, height, width] = luminance.shape;
  const from = (y: number, x: number) =>
    tf.slice(luminance, [0, y, x], [count, height - 1, width - 1]) as tf.Tensor3D;
  const here = from(0, 0);
  return tf.maximum(tf.abs(tf.sub(from(0, 1), here)), tf.abs(tf.sub(from(1, 0), here)));
}

/** The sum of the four neighbours less four times the pixel: [B, H − 2, W − 2]. */
function laplacian(luminance: tf.Tensor3D): tf.Tensor {
  const [count, height, width] = luminance.shape;
  const from = (y: number, x: number) => tf.slice(luminance, [0, y, x], [count, height - 2, width - 2]);
  return tf.sub(tf.addN([from(0, 1), from(2, 1), from(1, 0), from(1, 2)]), tf.mul(4, from(1, 1)));
}

/** Of pixels between the images of a group. */
function spread(pixels: tf.Tensor4D, count: number, group: number): tf.Tensor {
  const members = tf.reshape(pixels, [count / group, group, -1]);
  const apart = tf.sub(members, tf.mean(members, 1, true));
  return tf.sqrt(tf.mul(tf.mean(tf.square(apart)), group / (group - 1)));
}

/** How often each coarse colour occurs: [LEVELS³]. */
function colorCounts(pixels: tf.Tensor4D): tf.Tensor1D {
  const level = tf.minimum(tf.floor(tf.mul(pixels, LEVELS)), LEVELS - 1);
  const color = tf.sum(tf.mul(level, tf.tensor1d([LEVELS ** 2, LEVELS, 1])), 3);
  const each = tf.reshape(color, [-1, 1]);
  const known = tf.reshape(tf.range(0, LEVELS ** 3), [1, -1]);
  return tf.sum(tf.cast(tf.equal(each, known), 'float32'), 0) as tf.Tensor1D;
}
