/** What a model has to offer to be trained: a `Policy`. */
import type * as tf from '@tensorflow/tfjs-core';

/** Weights by name: upstream's own names, upstream's own layout. */
export type Params = Record<string, tf.Tensor>;

/** Nested arrays and records of tensors. */
export type Tensors = tf.Tensor | readonly Tensors[] | { readonly [key: string]: Tensors };

/**
 * What a call is for: `sampling` draws images, in rollouts and evaluations; `training` is the loss of an update, its
 * reference included. Most policies need not tell them apart.
 */
export type Purpose = 'sampling' | 'training';

/** What a velocity call gives: the velocity, and what a cheaper second call may start from. */
export interface Velocity<Features extends Tensors = Tensors> {
  /** dx/dt at (x, t), float32, the shape of x. With guidance it is the guided velocity. */
  readonly velocity: tf.Tensor;
  /**
   * Of a sampling call: the velocity that a training call gives here, for policies whose two differ, e.g. the
   * conditional one where guidance is for sampling alone. The rollout draws with `velocity` and records the
   * log-probability of what it drew under this one, so that an update's ratio compares one policy before and after.
   */
  readonly training?: tf.Tensor;
  /** Per-sample tensors [B, …] that {@link Policy.velocityFromFeatures} needs; omitted without it. */
  readonly features?: Features;
}

/**
 * A flow-matching model as the trainer sees it. Time runs from 0 (noise) to 1 (data), dx/dt = velocity.
 *
 * `Condition` is a pytree of tensors made once for a list of distinct prompts. Velocity calls get it with
 * `rows`, int32 [B]: the prompt of every sample. What depends on the prompt alone is thus computed once a
 * prompt, not once a sample, and it is the policy that gathers.
 *
 * `velocity`, `prepare`, `velocityFromFeatures` and `decode` are traced by `jit`: they must not read tensor
 * data or make random numbers, and they must use the tensors in `trained` instead of their namesakes in
 * `params`. Those are float32: a policy whose `params` are narrower casts them to compute as it does without training.
 * Classifier-free guidance is the policy's own affair; as in flow_grpo, its unconditional branch
 * should carry no gradient.
 *
 * A policy may train another velocity than it samples with: its sampling calls then return that one too, as
 * `training`, and its training calls compute nothing else.
 */
export interface Policy<Condition = unknown, Prepared = unknown> {
  /** All weights. The trainer reads the trainable ones once and never disposes of any. */
  readonly params: Params;
  /** Names of the weights that train, a subset of `params`. */
  readonly trainable: readonly string[];
  /** Shape of one sample's latents, e.g. [8, 8, 16]. */
  readonly latentShape: readonly number[];
  /** Host and device work done once a prompt: tokens, the frozen trunk's keys and values. */
  encodePrompts(prompts: readonly string[]): Condition;
  /**
   * What depends on the prompt and on trained weights, but neither on x nor on t: a pytree. Runs once a rollout, for the
   * distinct prompts. An update of one gradient pass runs it there, with gradients; one of several passes runs it before them,
   * sums the gradients of its float32 tensors over the passes, and runs it again to carry these to the weights.
   *
   * @param purpose of the velocity calls that follow; sampling by default
   */
  prepare?(trained: Params, condition: Condition, purpose?: Purpose): Prepared;
  /**
   * @param x [B, ...latentShape]
   * @param t [B]
   * @param rows int32 [B], indices into the prompts of `condition`
   * @param prepared what `prepare` returned; undefined without it
   * @param purpose sampling by default
   */
  velocity(
    trained: Params,
    x: tf.Tensor,
    t: tf.Tensor,
    condition: Condition,
    rows: tf.Tensor1D,
    prepared: Prepared,
    purpose?: Purpose,
  ): Velocity;
  /**
   * The velocity of a training call from the features the rollout kept, for policies whose trainable part comes after a
   * frozen trunk: the trunk runs once, in the rollout.
   *
   * @param features as `velocity` returned them, rows gathered, [B, …]
   */
  velocityFromFeatures?(
    trained: Params,
    features: Tensors,
    t: tf.Tensor,
    condition: Condition,
    rows: tf.Tensor1D,
    prepared: Prepared,
  ): tf.Tensor;
  /** Latents [B, ...latentShape] → images [B, H, W, 3] in [0, 1]. */
  decode(latents: tf.Tensor): tf.Tensor4D;
}

/**
 * The trainable weights of a policy by name, copied, so that training may overwrite them.
 *
 * @throws when a name is not in `params`, or when nothing trains.
 */
export function trainableParams(
  policy: Pick<Policy, 'params' | 'trainable'>,
  copy: (value: tf.Tensor, name: string) => tf.Tensor,
): Params {
  if (policy.trainable.length === 0) throw new Error('policy.trainable is empty: nothing would train');
  return Object.fromEntries(
    policy.trainable.map((name) => {
      const value = policy.params[name];
      if (!value) throw new Error(`policy.trainable names ${name}, which is not in policy.params`);
      return [name, copy(value, name)];
    }),
  );
}
