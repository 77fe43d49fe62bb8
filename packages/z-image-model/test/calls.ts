/** The transformer's calls of a case, as the model takes them. */
import type { FixtureTensor } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import {
  type Captions,
  paddedLength,
  refineCaptions,
  type TransformerConfig,
  zImageVelocityOfSizes,
} from '../src/index';
import { imageOf, toTensor } from './case';

export interface Call {
  readonly images: tf.Tensor3D[];
  readonly captions: tf.Tensor2D[];
  readonly t: tf.Tensor;
}

/** The items `prefix.0`, `prefix.1`, … */
export function items(tensors: Record<string, FixtureTensor>, prefix: string): FixtureTensor[] {
  const found: FixtureTensor[] = [];
  for (let i = 0; tensors[`${prefix}.${i}`]; i++) found.push(tensors[`${prefix}.${i}`]!);
  return found;
}

export const readCall = (inputs: Record<string, FixtureTensor>, name: string): Call => ({
  images: items(inputs, `${name}.x`).map(imageOf),
  captions: items(inputs, `${name}.cap`).map((each) => toTensor(each) as tf.Tensor2D),
  t: toTensor(inputs[`${name}.t`]!),
});

/** Captions of several lengths as one batch, padded with zeros. */
export function textStates(captions: readonly tf.Tensor2D[]) {
  const longest = Math.max(...captions.map(({ shape }) => shape[0]));
  const rows = captions.map((each) =>
    tf.pad(each, [
      [0, longest - each.shape[0]],
      [0, 0],
    ]),
  );
  const lengths = captions.map(({ shape }) => shape[0]);
  return { states: tf.stack(rows), lengths: tf.tensor1d(lengths, 'int32') };
}

/** Velocities of a call, one tensor per item. */
export function run(
  params: Record<string, tf.Tensor>,
  config: TransformerConfig,
  { images, captions, t }: Call,
  observe?: (name: string, value: tf.Tensor) => void,
): tf.Tensor3D[] {
  const refined: Captions = refineCaptions(params, config, textStates(captions), observe);
  return zImageVelocityOfSizes(params, config, images, t, refined, observe);
}

/** Tokens of every item of a call. */
export function lengthsOf({ patchSize }: TransformerConfig, { images, captions }: Call) {
  const image = images.map(({ shape }) => (shape[0] * shape[1]) / patchSize ** 2);
  const caption = captions.map(({ shape }) => shape[0]);
  const paddedImage = image.map(paddedLength);
  const paddedCaption = caption.map(paddedLength);
  return {
    image,
    caption,
    paddedImage,
    paddedCaption,
    unified: paddedImage.map((length, i) => length + paddedCaption[i]!),
  };
}

/** Σ v w over all items, divided by how many numbers there are: the loss of the cases. */
export function lossOf(velocities: readonly tf.Tensor3D[], weights: readonly tf.Tensor3D[]): tf.Scalar {
  const count = weights.reduce((sum, { size }) => sum + size, 0);
  const sums = velocities.map((v, i) => tf.sum(tf.mul(v, weights[i]!)));
  return tf.div(tf.addN(sums), count) as tf.Scalar;
}
