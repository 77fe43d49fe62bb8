import { conv2d, convolve, downsample2d, type Params, param, roundsSums, upsample2d } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { causalConv, type History, lastFrames, perFrame } from './convolution';

/**
 * Halves height and width and, when `temporal`, every frame after the first in time. The first frame of a video
 * passes the temporal convolution by; later ones are convolved in threes with stride two, each group sharing a
 * frame with the one before.
 */
export function downsample(
  params: Params,
  name: string,
  x: tf.Tensor5D,
  temporal: boolean,
  history?: History,
): tf.Tensor5D {
  const small = perFrame(x, (frames) => downsample2d(params, `${name}.resample.1`, frames));
  return temporal ? halveTime(params, `${name}.time_conv`, small, history) : small;
}

function halveTime(params: Params, name: string, x: tf.Tensor5D, history?: History): tf.Tensor5D {
  const past = history?.get(name);
  const seen = past ? (tf.concat([past, x], 1) as tf.Tensor5D) : x;
  history?.set(name, lastFrames(x, 1));
  const groups = Math.floor((seen.shape[1] - 1) / 2);
  const weight = param(params, `${name}.weight`) as tf.Tensor5D;
  const outputs: tf.Tensor5D[] = past
    ? []
    : [lastFrames(tf.slice(x, 0, [-1, 1, -1, -1, -1]) as tf.Tensor5D, 1)];
  if (groups > 0) {
    const [channelsOut, channelsIn] = weight.shape;
    const bias = () => param(params, `${name}.bias`) as tf.Tensor1D;
    const inside = roundsSums(weight) ? bias() : null;
    const taps = [0, 1, 2].map((tap) => {
      const frames = tf.stridedSlice(
        seen,
        [0, tap, 0, 0, 0],
        [seen.shape[0], tap + 2 * groups, ...seen.shape.slice(2)],
        [1, 2, 1, 1, 1],
      ) as tf.Tensor5D;
      const kernel = tf.reshape(tf.slice(weight, [0, 0, tap, 0, 0], [-1, -1, 1, -1, -1]), [
        channelsOut,
        channelsIn,
        1,
        1,
      ]);
      return perFrame(frames, (plane) =>
        convolve(plane, kernel as tf.Tensor4D, tap === 0 ? inside : null, 1, 'same'),
      );
    });
    const sum = tf.addN(taps) as tf.Tensor5D;
    outputs.push(inside ? sum : (tf.add(sum, bias()) as tf.Tensor5D));
  }
  if (outputs.length === 0) {
    throw new Error(
      `${name}: a piece of ${x.shape[1]} frames is too short to halve; give pieces of 4 frames`,
    );
  }
  return outputs.length === 1 ? outputs[0]! : (tf.concat(outputs, 1) as tf.Tensor5D);
}

/**
 * Doubles height and width (nearest neighbour, then a convolution to half the channels) and, when `temporal`,
 * every frame after the first in time. The temporal convolution starts anew after the first frame: it sees
 * zeros, not that frame.
 */
export function upsample(
  params: Params,
  name: string,
  x: tf.Tensor5D,
  temporal: boolean,
  history?: History,
): tf.Tensor5D {
  const long = temporal ? doubleTime(params, `${name}.time_conv`, x, history) : x;
  return perFrame(long, (frames) => conv2d(params, `${name}.resample.1`, upsample2d(frames)));
}

function doubleTime(params: Params, name: string, x: tf.Tensor5D, history?: History): tf.Tensor5D {
  const begun = `${name}.begun`;
  const starts = !history?.has(begun);
  // Any tensor marks that the first frame has gone by; the history holds nothing else.
  if (starts) history?.set(begun, lastFrames(x, 1));
  const rest = starts ? (tf.slice(x, [0, 1, 0, 0, 0], [-1, x.shape[1] - 1, -1, -1, -1]) as tf.Tensor5D) : x;
  const outputs: tf.Tensor5D[] = starts ? [tf.slice(x, 0, [-1, 1, -1, -1, -1]) as tf.Tensor5D] : [];
  if (rest.shape[1] > 0) {
    const [batch, time, height, width, channels] = rest.shape;
    const pairs = tf.reshape(causalConv(params, name, rest, history), [
      batch,
      time,
      height,
      width,
      2,
      channels,
    ]);
    outputs.push(
      tf.reshape(tf.transpose(pairs, [0, 1, 4, 2, 3, 5]), [
        batch,
        2 * time,
        height,
        width,
        channels,
      ]) as tf.Tensor5D,
    );
  }
  return outputs.length === 1 ? outputs[0]! : (tf.concat(outputs, 1) as tf.Tensor5D);
}
