import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { type NftInputs, nftLoss } from './nft';

it('holds on to the reference ever more beyond klTarget: its pull is doubled there', () => {
  const rows = 2;
  const of = (value: number) => tf.fill([rows, 4], value);
  const inputs = (velocity: tf.Tensor): NftInputs => ({
    ...{ x: of(0), data: of(1), oldVelocity: of(0.3), referenceVelocity: of(0), velocity },
    t: tf.fill([rows], 0.5),
    rho: tf.fill([rows], 0.5),
    weights: tf.fill([rows], 1 / rows),
  });
  const options = { beta: 1, advClipMax: 5, klWeight: 2 };
  const gradient = (distance: number, klTarget?: number) => {
    const kl = (v: tf.Tensor) => {
      const { total, policy } = nftLoss(inputs(v), { ...options, klTarget });
      return tf.sub(total, policy) as tf.Scalar;
    };
    return tf.grad(kl)(of(distance)).dataSync()[0]!;
  };
  for (const distance of [0.01, 0.2, 0.5]) {
    const times = 1 + distance ** 2 / 0.04;
    expect(gradient(distance, 0.04) / gradient(distance)).toBeCloseTo(times, 4);
  }
});
