/** The same for a network in the convention of diffusers: sigma runs from 1 (noise) to 0 (data). */
import type { Params, Policy } from '@flow-grpo/grpo-trainer';
import {
  type Convention,
  convertVelocity,
  sd3Convention,
  showo2Convention,
} from '@flow-grpo/sde-sampler/conventions';
import * as tf from '@tensorflow/tfjs-core';
import { colourPolicy, velocity } from './model';

/** Sigma times 1,000, as SD3's and Flux's transformers take it. */
export const timesteps: Convention = { ...sd3Convention, name: 'timesteps', noiseTime: 1000 };

/** A network that takes x [B, 3] and a timestep [B] from 1,000 to 0, and predicts noise − data: here our own, in disguise. */
export const noiseMinusData = (
  params: Params,
  x: tf.Tensor,
  timestep: tf.Tensor,
  words: tf.Tensor,
): tf.Tensor => tf.neg(velocity(params, x, tf.sub(1, tf.div(timestep, 1000)), words));

/** Only `velocity` differs: the trainer's time goes from noise to data, and so does its velocity. */
export const diffusersPolicy = (params: Params): Policy<tf.Tensor2D> => ({
  ...colourPolicy(params),
  velocity: ({ trained, condition, rows, x, t }) => {
    const timestep = tf.mul(tf.sub(1, t), timesteps.noiseTime);
    const predicted = noiseMinusData(trained, x, timestep, tf.gather(condition, rows));
    return { velocity: convertVelocity(predicted, timesteps, showo2Convention) };
  },
});
