import * as tf from '@tensorflow/tfjs-core';

/** A linear map from latent channels to red, green and blue: a picture at latent size for next to nothing. */
export interface LatentPreview {
  /** [channels + 1][3]; the last row is the offset. */
  matrix: number[][];
}

/**
 * Fits the map by least squares to latents [B, h, w, C] and their decoded images [B, H, W, 3]; H and W are multiples of h
 * and w. A handful of decoded samples is enough. Resolves to the map and the part of the variance it explains.
 */
export async function fitLatentPreview(
  latents: tf.Tensor4D,
  images: tf.Tensor4D,
): Promise<{ preview: LatentPreview; explained: number }> {
  const [batch, height, width, channels] = latents.shape;
  const [, imageHeight, imageWidth] = images.shape;
  if (imageHeight % height !== 0 || imageWidth % width !== 0) {
    throw new Error(
      `Images of ${imageHeight} x ${imageWidth} are not a multiple of latents of ${height} x ${width}.`,
    );
  }
  const [xs, ys] = tf.tidy(() => {
    const pool: [number, number] = [imageHeight / height, imageWidth / width];
    return [tf.clone(latents), tf.avgPool(images, pool, pool, 'valid')];
  });
  const [x, y] = (await Promise.all([xs!.data(), ys!.data()])) as [Float32Array, Float32Array];
  tf.dispose([xs!, ys!]);
  const size = channels + 1;
  const gram = Array.from({ length: size }, () => new Float64Array(size));
  const cross = Array.from({ length: size }, () => new Float64Array(3));
  const row = new Float64Array(size);
  const samples = batch * height * width;
  for (let s = 0; s < samples; s++) {
    for (let c = 0; c < channels; c++) row[c] = x[s * channels + c]!;
    row[channels] = 1;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) gram[i]![j]! += row[i]! * row[j]!;
      for (let k = 0; k < 3; k++) cross[i]![k]! += row[i]! * y[s * 3 + k]!;
    }
  }
  for (let i = 0; i < size; i++) gram[i]![i]! += 1e-6 * samples;
  const preview = { matrix: solve(gram, cross) };
  const mean = [0, 1, 2].map((k) => y.reduce((sum, v, i) => (i % 3 === k ? sum + v : sum), 0) / samples);
  let error = 0;
  let total = 0;
  for (let s = 0; s < samples; s++) {
    for (let k = 0; k < 3; k++) {
      let value = preview.matrix[channels]![k]!;
      for (let c = 0; c < channels; c++) value += x[s * channels + c]! * preview.matrix[c]![k]!;
      error += (value - y[s * 3 + k]!) ** 2;
      total += (mean[k]! - y[s * 3 + k]!) ** 2;
    }
  }
  return { preview, explained: total > 0 ? 1 - error / total : 1 };
}

/** Latents [B, h, w, C] to pictures [B, h, w, 3] in [0, 1]. */
export function previewLatents({ matrix }: LatentPreview, latents: tf.Tensor4D): tf.Tensor4D {
  const channels = matrix.length - 1;
  const shape = latents.shape;
  if (shape[3] !== channels)
    throw new Error(`The preview is for ${channels} channels, the latents have ${shape[3]}.`);
  return tf.tidy(() => {
    const rows = tf.reshape(latents, [-1, channels]) as tf.Tensor2D;
    const colours = tf.add(
      tf.matMul(rows, tf.tensor2d(matrix.slice(0, channels))),
      tf.tensor1d(matrix[channels]!),
    );
    return tf.reshape(tf.clipByValue(colours, 0, 1), [shape[0], shape[1], shape[2], 3]);
  });
}

/** Gaussian elimination with pivoting of the positive system `a` x = `b`, in place. */
function solve(a: Float64Array[], b: Float64Array[]): number[][] {
  const n = a.length;
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let r = i + 1; r < n; r++) if (Math.abs(a[r]![i]!) > Math.abs(a[pivot]![i]!)) pivot = r;
    [a[i], a[pivot]] = [a[pivot]!, a[i]!];
    [b[i], b[pivot]] = [b[pivot]!, b[i]!];
    for (let r = 0; r < n; r++) {
      if (r === i) continue;
      const factor = a[r]![i]! / a[i]![i]!;
      for (let c = i; c < n; c++) a[r]![c]! -= factor * a[i]![c]!;
      for (let k = 0; k < 3; k++) b[r]![k]! -= factor * b[i]![k]!;
    }
  }
  return b.map((row, i) => Array.from(row, (v) => v / a[i]![i]!));
}
