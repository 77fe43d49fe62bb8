import * as tf from '@tensorflow/tfjs-core';

/** Decoded values in -1..1 (with overshoot) to [0, 1]. */
export const toUnit = <T extends tf.Tensor>(x: T): T =>
  tf.clipByValue(tf.add(tf.mul(x, 0.5), 0.5), 0, 1) as T;

/** [0, 1] to the VAE's -1..1. */
export const fromUnit = <T extends tf.Tensor>(x: T): T => tf.sub(tf.mul(x, 2), 1) as T;

/** Scales an image [H, W, 3] so that it covers height x width, and cuts the middle (bilinear). */
export function coverCrop(image: tf.Tensor3D, height: number, width: number): tf.Tensor3D {
  const [fromHeight, fromWidth] = image.shape;
  const scale = Math.max(height / fromHeight, width / fromWidth);
  const tall = Math.max(height, Math.round(fromHeight * scale));
  const wide = Math.max(width, Math.round(fromWidth * scale));
  return tf.tidy(() => {
    const sized =
      tall === fromHeight && wide === fromWidth
        ? image
        : tf.image.resizeBilinear(image, [tall, wide], false, true);
    const top = Math.floor((tall - height) / 2);
    const left = Math.floor((wide - width) / 2);
    return tf.slice(sized, [top, left, 0], [height, width, 3]) as tf.Tensor3D;
  });
}
