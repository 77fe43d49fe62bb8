import { convolve, type Params, param, roundsSums } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';

/**
 * What causal layers have seen of earlier frames when a video is worked on in pieces, by layer name. Layers
 * read it and replace their entry. An empty history is the start of the video.
 */
export type History = Map<string, tf.Tensor5D>;

/** Applies a function of images [N, H, W, C] to every frame of [B, T, H, W, C]. */
export function perFrame(x: tf.Tensor5D, f: (frames: tf.Tensor4D) => tf.Tensor4D): tf.Tensor5D {
  const [batch, time, height, width, channels] = x.shape;
  const y = f(tf.reshape(x, [batch * time, height, width, channels]));
  return tf.reshape(y, [batch, time, y.shape[1], y.shape[2], y.shape[3]]);
}

/**
 * The causal convolution called `name`: frame t sees frames t − (taps − 1) … t of `x` (and of `history`), and
 * zeros before the start. It is the sum of one image convolution a temporal tap, over the frames which that tap
 * meets; taps that would meet nothing but zeros are not computed, so an image costs one tap.
 *
 * @param x [B, T, H, W, in]
 * @param history what earlier pieces of the video left; updated
 */
export function causalConv(params: Params, name: string, x: tf.Tensor5D, history?: History): tf.Tensor5D {
  const weight = param(params, `${name}.weight`) as tf.Tensor5D;
  const bias = param(params, `${name}.bias`) as tf.Tensor1D;
  const [outputs, inputs, taps, height, width] = weight.shape;
  const past = history?.get(name);
  const seen = past ? (tf.concat([past, x], 1) as tf.Tensor5D) : x;
  if (history && taps > 1) history.set(name, lastFrames(seen, taps - 1));

  const time = x.shape[1];
  const pastFrames = past?.shape[1] ?? 0;
  let sum: tf.Tensor5D | undefined;
  for (let tap = taps - 1; tap >= 0; tap--) {
    // Output t meets frame t − delay; outputs before the first such frame meet zeros.
    const delay = taps - 1 - tap;
    const zeros = Math.max(0, delay - pastFrames);
    if (zeros >= time) break;
    const frames = tf.slice(seen, [0, pastFrames + zeros - delay, 0, 0, 0], [-1, time - zeros, -1, -1, -1]);
    const kernel = tf.reshape(tf.slice(weight, [0, 0, tap, 0, 0], [-1, -1, 1, -1, -1]), [
      outputs,
      inputs,
      height,
      width,
    ]) as tf.Tensor4D;
    const inside = delay === 0 && roundsSums(weight) ? bias : null;
    const part = perFrame(frames as tf.Tensor5D, (plane) => convolve(plane, kernel, inside, 1, 'same'));
    const shifted =
      zeros > 0 ? tf.concat([tf.fill([x.shape[0], zeros, ...part.shape.slice(2)], 0), part], 1) : part;
    sum = (sum ? tf.add(sum, shifted) : shifted) as tf.Tensor5D;
  }
  return roundsSums(weight) ? sum! : (tf.add(sum!, bias) as tf.Tensor5D);
}

/** The last `count` frames, or all there are. */
export function lastFrames(x: tf.Tensor5D, count: number): tf.Tensor5D {
  const start = Math.max(0, x.shape[1] - count);
  return tf.slice(x, [0, start, 0, 0, 0], [-1, x.shape[1] - start, -1, -1, -1]) as tf.Tensor5D;
}
