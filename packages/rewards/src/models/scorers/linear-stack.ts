import { linear, type Params } from '@flow-grpo/nn';
import type * as tf from '@tensorflow/tfjs-core';

/** Linear layers with nothing between them, `name.N` in the order of N: [B, D] to [B, 1]. Throws where there is none. */
export function linearStack(params: Params, name: string, x: tf.Tensor): tf.Tensor {
  const layers = Object.keys(params)
    .filter((key) => key.startsWith(`${name}.`) && key.endsWith('.weight'))
    .map((key) => Number(key.slice(name.length + 1, -'.weight'.length)))
    .filter(Number.isInteger)
    .sort((a, b) => a - b);
  if (layers.length === 0) throw new Error(`The parameters hold no '${name}.N.weight'.`);
  return layers.reduce((y, index) => linear(params, `${name}.${index}`, y), x);
}
