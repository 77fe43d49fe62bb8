/** The executable that ends an update: clipping, AdamW, the average, and the copies that move with every update. */
import { jit, shardLike } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type AdamWOptions, adamWUpdate, clipByGlobalNorm, mapParams } from '../maths/adamw';
import { emaUpdate } from '../maths/ema';
import type { Placement } from '../placement';
import type { Params } from '../policy';
import { moveCopy } from './copies';
import type { TrainState } from './state';

/**
 * Clips the gradients, steps AdamW, moves the average and the given copies. State and gradients are donated. Where the
 * gradient norm is not finite nothing changes, so that one bad step cannot poison the weights.
 *
 * @param emaRate scalar, 1 − decay; 0 leaves the average alone.
 * @param copyRates the same for each copy.
 */
export function optimizerStep(options: AdamWOptions & { maxGradNorm: number }, placement: Placement) {
  return jit(
    function optimizerStep(
      state: TrainState,
      gradients: Params,
      scalars: tf.Tensor1D,
      emaRate: tf.Tensor,
      copyRates: Readonly<Record<string, tf.Tensor>>,
    ): { state: TrainState; norm: tf.Tensor } {
      // The one place where gradients are reduced over devices.
      const whole = placement.perDevice?.total(gradients, state.trained) ?? gradients;
      const clipped = clipByGlobalNorm(whole, options.maxGradNorm);
      const stepped = adamWUpdate(state.trained, state.optimizer, clipped.gradients, scalars, options);
      const finite = tf.isFinite(clipped.norm);
      const choose = (next: Params, previous: Params) =>
        alike(
          mapParams(next, (value, name) => tf.where(finite, value, previous[name] as tf.Tensor)),
          previous,
        );
      const trained = choose(stepped.params, state.trained);
      return {
        state: {
          trained,
          optimizer: {
            mean: choose(stepped.state.mean, state.optimizer.mean),
            variance: choose(stepped.state.variance, state.optimizer.variance),
          },
          ema: alike(emaUpdate(state.ema, trained, emaRate), state.ema),
          copies: Object.fromEntries(
            Object.entries(state.copies).map(([name, copy]) => [
              name,
              moveCopy(copy, trained, copyRates[name]!),
            ]),
          ),
        },
        norm: placement.replicate(clipped.norm),
      };
    },
    { donate: [0, 1], name: 'optimizerStep' },
  );
}

/** Parameters placed on the devices as those before them. */
const alike = (next: Params, previous: Params): Params =>
  mapParams(next, (value, name) => shardLike(value, previous[name] as tf.Tensor));
