/** A whole Z-Image of a few thousand weights. */
import { onCpu } from '@flow-grpo/test-support/on-cpu';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import {
  type AutoencoderConfig,
  initTransformer,
  type TextEncoderConfig,
  type TransformerConfig,
  Z_IMAGE_SCHEDULER,
  type ZImageParts,
} from '../src/index';
import { initAutoencoder, initTextEncoder } from '../src/init';

export const transformerConfig: TransformerConfig = {
  inChannels: 4,
  patchSize: 2,
  dim: 16,
  layers: 2,
  refinerLayers: 1,
  heads: 2,
  captionDim: 12,
  ropeTheta: 256,
  timeScale: 1000,
  normEps: 1e-5,
  qkNorm: true,
  axesDims: [4, 2, 2],
  axesLens: [128, 16, 16],
};
const textConfig: TextEncoderConfig = {
  hiddenSize: 12,
  intermediateSize: 16,
  layers: 3,
  heads: 2,
  kvHeads: 1,
  headDim: 6,
  vocabSize: 64,
  ropeTheta: 10_000,
  rmsNormEps: 1e-6,
  attentionBias: false,
};
const vaeConfig: AutoencoderConfig = {
  channels: [4, 8],
  layersPerBlock: 1,
  groups: 2,
  latentChannels: 4,
  scaling: 0.5,
  shift: 0.1,
  middleAttention: true,
  quantConv: true,
  postQuantConv: true,
};

/** Noise on every weight makes all paths matter. */
const noisy = (init: () => Record<string, tf.Tensor>) =>
  onCpu(() =>
    Object.fromEntries(
      Object.entries(init()).map(([name, x], i) => [
        name,
        tf.add(x, tf.mul(random.normal(random.key(i), x.shape), 0.05)),
      ]),
    ),
  );

/** Letters are tokens. */
const tokenizer = { encode: (text: string) => Array.from(text, (letter) => letter.codePointAt(0)! % 64) };

/** With random weights, the same every time. Images are multiples of 4 pixels. */
export const tinyParts = (): ZImageParts => ({
  transformer: { config: transformerConfig, params: noisy(() => initTransformer(transformerConfig, 1)) },
  textEncoder: { config: textConfig, params: noisy(() => initTextEncoder(textConfig, 2)), tokenizer },
  vae: { config: vaeConfig, params: noisy(() => initAutoencoder(vaeConfig, 3)) },
  scheduler: Z_IMAGE_SCHEDULER,
});
