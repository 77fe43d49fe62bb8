import * as tf from '@tensorflow/tfjs-core';

/**
 * Scales an image [H, W, 3] in [0, 1] so that it covers height x width, and cuts the middle: upstream's `image_transform`,
 * which is Pillow's bicubic resize and torchvision's CenterCrop. As there, each of the two passes is rounded to bytes;
 * results are Pillow's but for one level where its fixed-point sums round the other way.
 */
export function coverCrop(image: tf.Tensor3D, height: number, width: number): tf.Tensor3D {
  const [fromHeight, fromWidth] = image.shape;
  const isWide = height * fromWidth >= width * fromHeight;
  const tall = isWide ? height : Math.max(height, Math.trunc((width * fromHeight) / fromWidth));
  const wide = isWide ? Math.max(width, Math.trunc((height * fromWidth) / fromHeight)) : width;
  return tf.tidy(() => {
    const columns = wide === fromWidth ? image : resizeColumns(image, wide);
    const upright = (x: tf.Tensor3D) => tf.transpose(x, [1, 0, 2]) as tf.Tensor3D;
    const sized = tall === fromHeight ? columns : upright(resizeColumns(upright(columns), tall));
    const begin = [roundHalfEven((tall - height) / 2), roundHalfEven((wide - width) / 2), 0];
    return tf.slice(sized, begin, [height, width, 3]) as tf.Tensor3D;
  });
}

/** [H, W, 3] to [H, `to`, 3]. */
function resizeColumns(image: tf.Tensor3D, to: number): tf.Tensor3D {
  const [rows, from] = image.shape;
  const matrix = tf.tensor2d(antialiasedBicubic(from, to), [to, from]);
  const lines = tf.reshape(tf.transpose(image, [1, 0, 2]), [from, rows * 3]) as tf.Tensor2D;
  const resized = tf.transpose(tf.reshape(tf.matMul(matrix, lines), [to, rows, 3]), [1, 0, 2]);
  const bytes = tf.clipByValue(tf.floor(tf.add(tf.mul(resized, 255), 0.5)), 0, 255);
  return tf.div(bytes, 255) as tf.Tensor3D;
}

/** Keys' cubic with a = -0.5. */
function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** The [to, from] matrix of Pillow's bicubic resize along one axis: the support widens when shrinking, and ends at borders. */
function antialiasedBicubic(from: number, to: number): Float32Array {
  const matrix = new Float32Array(to * from);
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  for (let row = 0; row < to; row++) {
    const center = (row + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - 2 * stretch + 0.5));
    const end = Math.min(from, Math.trunc(center + 2 * stretch + 0.5));
    const weights = Array.from({ length: end - start }, (_, k) =>
      cubic((start + k - center + 0.5) / stretch),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    weights.forEach((weight, k) => {
      matrix[row * from + start + k] = weight / sum;
    });
  }
  return matrix;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}
