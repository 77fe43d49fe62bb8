/** `Policy`: what a model must provide to be trained. */
import type * as tf from '@tensorflow/tfjs-core';

/** Weights by name: upstream's own names, upstream's own layout. */
export type Params = Record<string, tf.Tensor>;

/** Nested arrays and records of tensors. */
export type Tensors = tf.Tensor | Tensors[] | { readonly [key: string]: Tensors };

/**
 * What a call is for: `sampling` draws images, in rollouts and evaluations; `training` computes the loss of an update, its
 * reference included. Most policies can ignore it.
 */
export type Purpose = 'sampling' | 'training';

/** The result of a velocity call: the velocity, and features from which a second call is cheaper. */
export type VelocityResult<Features extends Tensors = Tensors> = {
  /** dx/dt at (x, t), float32, the shape of x. With guidance it is the guided velocity. */
  readonly velocity: tf.Tensor;
  /**
   * Of a sampling call: the velocity that a training call would give here, for policies whose two differ, e.g. the
   * conditional one if only sampling is guided. The rollout draws with `velocity` and records the log-probability of what
   * it drew under this one, so that an update's ratio compares the same policy before and after.
   */
  readonly training?: tf.Tensor;
  /** Per-sample tensors [B, …] that {@link Policy.velocityFromFeatures} needs; omitted by policies without it. */
  readonly features?: Features;
};

/** What {@link Policy.prepare} is called with. */
export interface PrepareCall<Condition> {
  /** The weights to use in place of their namesakes in `params`. */
  readonly trained: Params;
  readonly condition: Condition;
  /** Of the velocity calls that follow. */
  readonly purpose: Purpose;
}

/** What {@link Policy.velocity} is called with. */
export interface VelocityCall<Condition, Prepared> extends PrepareCall<Condition> {
  /** [B, ...latentShape] */
  readonly x: tf.Tensor;
  /** [B] */
  readonly t: tf.Tensor;
  /** int32 [B], indices into the prompts of `condition`. */
  readonly rows: tf.Tensor1D;
  /** What `prepare` returned for the same weights and purpose; undefined for policies without it. */
  readonly prepared: Prepared;
}

/** What {@link Policy.velocityFromFeatures} is called with. */
export interface FeaturesCall<Condition, Prepared>
  extends Omit<VelocityCall<Condition, Prepared>, 'x' | 'purpose'> {
  /** As `velocity` returned them, rows gathered, [B, …] each. */
  readonly features: Tensors;
}

/**
 * A flow-matching model as the trainer sees it. Time runs from 0 (noise) to 1 (data), dx/dt = velocity.
 *
 * `Condition` is a pytree of tensors made once for a list of distinct prompts. Velocity calls get it with
 * `rows`, int32 [B]: the prompt of every sample. What depends only on the prompt is thus computed once per
 * prompt, not once per sample; the policy gathers it by `rows`.
 *
 * `velocity`, `prepare`, `velocityFromFeatures` and `decode` are traced by `jit`: they must not read tensor
 * data or make random numbers, and they must use the tensors in `trained` instead of their namesakes in
 * `params`. Those are float32: a policy whose `params` are narrower casts them to compute as it does without training.
 * Classifier-free guidance is up to the policy; as in flow_grpo, its unconditional branch should carry no gradient.
 *
 * A policy may train another velocity than it samples with: its sampling calls then return that one too, as
 * `training`, and its training calls compute nothing else.
 */
export interface Policy<Condition = unknown, Prepared = unknown> {
  /** All weights. The trainer reads the trainable ones once and never disposes of any. */
  readonly params: Params;
  /** Names of the weights that train, a subset of `params`. */
  readonly trainable: readonly string[];
  /**
   * Passed as `trained`, it means the untrained model, if that needs no copy of weights: {} for adapters (`loraPolicy`).
   * Algorithms then use it as their reference; otherwise they copy the weights that training starts from.
   */
  readonly untrained?: Params;
  /**
   * Whether a layer with a weight `X.weight` adds the low-rank product of `X.lora_A.weight`, `X.lora_B.weight` and `X.lora_scale`
   * if `trained` holds them, as `linear` of @flow-grpo/nn does. `loraPolicy` gives other policies the sum as `X.weight`.
   */
  readonly lowRankLayers?: boolean;
  /** Shape of one sample's latents, e.g. [8, 8, 16]. */
  readonly latentShape: readonly number[];
  /**
   * Work done once per prompt: tokens, the frozen trunk's keys and values. It runs in a `tf.tidy`, which frees what it creates
   * and does not return: a policy that caches tensors must create them elsewhere, or `tf.keep` them.
   *
   * @param prompts distinct ones
   */
  encodePrompts(prompts: readonly string[]): Condition;
  /**
   * A pytree of what depends on the prompt and on trained weights, but not on x or t. Runs once per rollout, for the distinct
   * prompts. If an update has one gradient pass, `prepare` runs inside it, with gradients; if it has several,
   * `prepare` runs before them, the gradients of its float32 tensors are summed over the passes and then back-propagated
   * to the weights once. Leave out what no trained weight reaches, or detach it where it is used (`stopGradient` of
   * @flow-grpo/nn): its gradient would be computed for nothing.
   */
  prepare?(call: PrepareCall<Condition>): Prepared;
  /** The velocity at (x, t), and features from which a second call is cheaper. */
  velocity(call: VelocityCall<Condition, Prepared>): VelocityResult;
  /**
   * The velocity of a training call from the features that a call of `velocity` kept, for policies whose trainable part
   * comes after a frozen trunk: the trunk runs once, in the rollout.
   */
  velocityFromFeatures?(call: FeaturesCall<Condition, Prepared>): tf.Tensor;
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
