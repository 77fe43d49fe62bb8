/** Z-Image as a policy: states and captions once per prompt, one unconditional prompt per batch, blocks under a scan. */
import {
  mergeTrainedWeights,
  type NamePattern,
  type Params,
  repeatRows,
  selectNames,
  stackForTraining,
  stopGradient,
} from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { type Guidance, guide, isGuided } from './guidance';
import { branches } from './pipeline/programs';
import { BLOCK_BASES } from './stacks';
import {
  type Captions,
  refineCaptions,
  type TextStates,
  type TransformerConfig,
  zImageVelocity,
} from './transformer';

/** The linear layers that diffusers' training script adapts: the attention projections of every block, refiners included. */
export const LORA_TARGETS: readonly NamePattern[] = ['to_q', 'to_k', 'to_v', 'to_out.0'].map(
  (name) => `*.attention.${name}`,
);
/** The feed-forward layers of every block, to be adapted besides. */
export const LORA_FEED_FORWARD: readonly NamePattern[] = ['w1', 'w2', 'w3'].map(
  (name) => `*.feed_forward.${name}`,
);

export interface ZImagePolicyOptions extends Partial<Guidance> {
  /** The transformer's weights under diffusers' names. */
  readonly params: Params;
  readonly config: TransformerConfig;
  /** States of prompts, padded to one length whatever the prompts; the empty prompt is the unconditional one. */
  readonly encodePrompts: (prompts: readonly string[]) => TextStates;
  /** Latents [B, h, w, C] to images [B, H, W, 3] in [0, 1]; traced by jit. */
  readonly decode: (latents: tf.Tensor) => tf.Tensor4D;
  /** [h, w, C] */
  readonly latentShape: readonly number[];
  /**
   * Whether updates guide as rollouts do, true by default. With false they compute the conditional velocity alone, that of the
   * reference included, and the log-probabilities that a rollout records are those of the conditional velocity too.
   */
  readonly guidanceInTraining?: boolean;
  /** Parts or globs of the names that train, of weights or of what adapters belong to; all by default. */
  readonly train?: readonly NamePattern[];
  /**
   * Stack the blocks, so that one of each kind is compiled. `params` is used up: tensors that are stacked are disposed of. True
   * by default.
   */
  readonly stackLayers?: boolean;
}

/** Prompts as states, once per prompt. */
export type ZImageCondition = {
  readonly prompt: TextStates;
  /** One row; absent without guidance. */
  readonly unconditional?: TextStates;
};

/** The same after the context refiner, whose weights may train. */
export type PreparedCaptions = {
  readonly prompt: Captions;
  readonly unconditional?: Captions;
};

/** What a call is for: `sampling` draws images, `training` is the loss of an update. */
export type Purpose = 'sampling' | 'training';

interface PrepareCall {
  readonly trained: Params;
  readonly condition: ZImageCondition;
  readonly purpose: Purpose;
}

interface VelocityCall extends PrepareCall {
  readonly x: tf.Tensor;
  readonly t: tf.Tensor;
  readonly rows: tf.Tensor1D;
  readonly prepared: PreparedCaptions;
}

/** A trainer's policy: `Policy` of @flow-grpo/grpo-trainer, whose comments say what each call must do. */
export interface ZImagePolicy {
  readonly params: Params;
  readonly trainable: readonly string[];
  /** Layers add the products of adapters themselves. */
  readonly lowRankLayers: true;
  readonly latentShape: readonly number[];
  encodePrompts(prompts: readonly string[]): ZImageCondition;
  prepare(call: PrepareCall): PreparedCaptions;
  velocity(call: VelocityCall): { readonly velocity: tf.Tensor; readonly training?: tf.Tensor };
  decode(latents: tf.Tensor): tf.Tensor4D;
}

/**
 * The policy of a Z-Image transformer. It computes in the storage that `params` are held in, that of the trained names too:
 * training has float32 weights, which are narrowed as they are used. The unconditional branch carries no gradient.
 */
export function zImagePolicy(options: ZImagePolicyOptions): ZImagePolicy {
  const { config, encodePrompts, decode, latentShape, guidanceScale = 0, train = ['all'] } = options;
  const { cfgNormalization, cfgTruncation, stackLayers = true, guidanceInTraining = true } = options;
  const guidance: Guidance = { guidanceScale, cfgNormalization, cfgTruncation };
  const selected = selectNames(Object.keys(options.params), train);
  const { params, trainable } = stackLayers
    ? stackForTraining(options.params, BLOCK_BASES, selected)
    : { params: options.params, trainable: selected };
  const merged = mergeTrainedWeights(params, trainable);
  const guided = isGuided(guidance);
  const guides = (purpose: Purpose) => guided && (purpose === 'sampling' || guidanceInTraining);
  const constant = ({ tokens, lengths }: Captions): Captions => ({
    tokens: stopGradient(() => tf.clone(tokens)),
    lengths,
  });
  return {
    params,
    trainable,
    lowRankLayers: true,
    latentShape,
    encodePrompts: (prompts) => ({
      prompt: encodePrompts(prompts),
      ...(guided && { unconditional: encodePrompts(['']) }),
    }),
    prepare({ trained, condition, purpose }) {
      const weights = merged(trained);
      const { unconditional } = condition;
      return {
        prompt: refineCaptions(weights, config, condition.prompt),
        ...(unconditional &&
          guides(purpose) && {
            unconditional: constant(refineCaptions(weights, config, unconditional)),
          }),
      };
    },
    velocity({ trained, x, t, rows, prepared, purpose }) {
      const weights = merged(trained);
      const captions: Captions = {
        tokens: tf.gather(prepared.prompt.tokens, rows),
        lengths: tf.gather(prepared.prompt.lengths, rows),
      };
      const latents = x as tf.Tensor4D;
      const alone = () => zImageVelocity(weights, config, latents, t, captions);
      if (!guides(purpose)) return { velocity: alone() };
      const { unconditional } = prepared;
      if (!unconditional) throw new Error('Guidance needs captions that were prepared for this purpose.');
      if (purpose === 'sampling') {
        const [c, u] = branches(weights, config, latents, t, captions, unconditional);
        return { velocity: guide(c, u, guidance, t), ...(!guidanceInTraining && { training: c }) };
      }
      const batch = x.shape[0]!;
      const nothing: Captions = {
        tokens: repeatRows(unconditional.tokens, batch),
        lengths: repeatRows(unconditional.lengths, batch),
      };
      const u = stopGradient(() => zImageVelocity(weights, config, latents, t, nothing));
      return { velocity: guide(alone(), u, guidance, t) };
    },
    decode,
  };
}
