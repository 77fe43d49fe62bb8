/** Show-o2 as a policy: text once per prompt; if only the head trains, updates run only the head. */
import {
  castToStorage,
  mergeTrainedWeights,
  type NamePattern,
  type Params,
  selectNames,
  stopGradient,
} from '@flow-grpo/nn';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from './config/config';
import {
  encodeHeadText,
  encodePrompts,
  encodeText,
  type Showo2Condition,
  type TextState,
} from './denoise/condition';
import { type Features, showo2Velocity, velocityFromFeatures } from './denoise/velocity';
import { stackForTraining } from './layers';

export interface Showo2PolicyOptions {
  /** All weights under upstream's names. */
  readonly params: Params;
  readonly config: Showo2Config;
  /** A prompt's text ids, without special tokens. */
  readonly tokenize: (prompt: string) => number[];
  /** Latents [B, h, w, C] → images [B, H, W, 3] in [0, 1]; traced by jit. */
  readonly decode: (latents: tf.Tensor) => tf.Tensor4D;
  /** [h, w, C] */
  readonly latentShape: readonly number[];
  /** v = u + scale·(c − u); 0 (default) is the conditional velocity alone. */
  readonly guidanceScale?: number;
  /**
   * Whether updates guide as rollouts do, true by default (flow_grpo: train.cfg). With false they compute the conditional
   * velocity alone, that of the KL's reference included: about a quarter less work, a third with a KL, and half of the
   * features to keep. Images are drawn with guidance either way, and without guidance there is no difference.
   *
   * The log-probabilities that a rollout records are then those of the conditional velocity too, so the ratio is 1 until
   * an update has moved the weights. flow_grpo divides by those of the guided steps: most ratios then start below
   * 1 − clipRange, where the clipped loss ignores images of negative advantage.
   */
  readonly guidanceInTraining?: boolean;
  /** What selects the names that train; the diffusion head by default. */
  readonly train?: readonly NamePattern[];
  /**
   * Stack layers that are repeated (`stackForTraining`): a large model compiles in a fraction of the time, and trains as
   * fast. `params` is used up: tensors that are stacked are disposed of. False by default.
   */
  readonly stackLayers?: boolean;
  /**
   * Text tokens all prompts are padded to, and longer ones cut to, so that shapes stay and nothing compiles twice: of
   * `chooseTextLength` over the prompts of the run, evaluations included.
   */
  readonly textLength: number;
}

/** What the head reads of the prompts, with its trained weights; the trunk's share too where the trunk trains. */
export type PreparedText = {
  readonly prompt: TextState;
  readonly unconditional: TextState;
};

/** What a call is for: `sampling` draws images, `training` is the loss of an update. */
export type Purpose = 'sampling' | 'training';

interface PrepareCall {
  readonly trained: Params;
  readonly condition: Showo2Condition;
  readonly purpose: Purpose;
}

interface VelocityCall extends PrepareCall {
  readonly x: tf.Tensor;
  readonly t: tf.Tensor;
  readonly rows: tf.Tensor1D;
  readonly prepared: PreparedText;
}

/** A trainer's policy: `Policy` of @flow-grpo/grpo-trainer, whose comments say what each call must do. */
export interface Showo2Policy {
  readonly params: Params;
  readonly trainable: readonly string[];
  readonly lowRankLayers: true;
  readonly latentShape: readonly number[];
  encodePrompts(prompts: readonly string[]): Showo2Condition;
  prepare(call: PrepareCall): PreparedText;
  velocity(call: VelocityCall): {
    readonly velocity: tf.Tensor;
    readonly training?: tf.Tensor;
    readonly features?: Readonly<Record<string, tf.Tensor>>;
  };
  velocityFromFeatures?(
    call: Omit<VelocityCall, 'x' | 'purpose'> & { readonly features: Readonly<Record<string, tf.Tensor>> },
  ): tf.Tensor;
  decode(latents: tf.Tensor): tf.Tensor4D;
}

/** Weights whose effect comes after the kept features: those of the head's layers and of the final one. */
const isHead = (name: string) => /^diffusion_head_[ab]\./.test(name);

/**
 * The policy of a Show-o2 model. With only head weights training, rollouts keep the trunk's output and updates run
 * the head alone; otherwise text and trunk run again with gradients.
 *
 * It computes in the storage that `params` are held in, that of the trained names too: training has float32 weights, which
 * are narrowed as they are used. Velocities come back as float32.
 */
export function showo2Policy(options: Showo2PolicyOptions): Showo2Policy {
  const { config, tokenize, decode, latentShape, textLength } = options;
  const guidanceScale = options.guidanceScale ?? 0;
  const selected = selectNames(Object.keys(options.params), options.train ?? ['diffusion_head_*']);
  const { params, trainable } = options.stackLayers
    ? stackForTraining(options.params, selected)
    : { params: options.params, trainable: selected };
  const headOnly = trainable.every(isHead);
  const merged = mergeTrainedWeights(params, trainable);
  const conditionalUpdates = guidanceScale > 0 && options.guidanceInTraining === false;
  const guidance = (purpose: Purpose) => ({
    guidanceScale: purpose === 'training' && conditionalUpdates ? 0 : guidanceScale,
    detachUnconditional: true,
  });
  const rows = (state: TextState, index: tf.Tensor1D) =>
    Object.fromEntries(
      Object.entries(state).map(([name, value]) => [name, tf.gather(value as tf.Tensor, index)]),
    ) as unknown as TextState;
  /** With constants in place of some tensors. stopGradient takes one at a time; compiled, shared work is merged again. */
  const detached = <T extends object>(
    state: T,
    names: readonly (keyof TextState)[],
    make: () => TextState,
  ): T => ({
    ...state,
    ...Object.fromEntries(names.map((name) => [name, stopGradient(() => tf.clone(make()[name]!))])),
  });
  /** A gradient for what frozen layers made of a text would run back through all of them. */
  const withoutTrunkGradients = (state: TextState): TextState =>
    headOnly ? detached(state, ['keys', 'values', 'hidden'], () => state) : state;
  const conditionAt = (prepared: PreparedText, index: tf.Tensor1D): Showo2Condition => ({
    prompt: rows(withoutTrunkGradients(prepared.prompt), index),
    unconditional: prepared.unconditional,
  });
  const withHead = (weights: Params, state: TextState): TextState => {
    const { keys, values } = encodeHeadText(weights, config, state.hidden);
    return { ...state, headKeys: keys, headValues: values };
  };
  const encodeFrozen = jit(
    (tokens: tf.Tensor, lengths: tf.Tensor) => encodeText(params, config, tokens, lengths),
    { name: 'encodeText' },
  );
  const encode = (prompts: readonly string[]): Showo2Condition =>
    tf.tidy(() => {
      const ids = prompts.map(tokenize);
      const condition = encodePrompts(params, config, ids, { textLength }, (_, tokens, lengths) =>
        encodeFrozen(tokens, lengths),
      );
      const first = Object.fromEntries(
        Object.entries(condition.unconditional).map(([name, value]) => [
          name,
          tf.slice(value as tf.Tensor, 0, 1),
        ]),
      ) as unknown as TextState;
      return { prompt: condition.prompt, unconditional: first } as unknown as tf.TensorContainer;
    }) as unknown as Showo2Condition;

  const policy: Showo2Policy = {
    params,
    trainable,
    lowRankLayers: true,
    latentShape,
    encodePrompts: encode,
    prepare({ trained, condition, purpose }) {
      const weights = merged(trained);
      const text = (state: TextState) =>
        headOnly ? state : { ...state, ...encodeText(weights, config, state.tokens, state.lengths) };
      const { unconditional } = condition;
      return {
        prompt: withHead(weights, text(condition.prompt)),
        unconditional:
          guidance(purpose).guidanceScale > 0
            ? detached(unconditional, ['headKeys', 'headValues'], () =>
                withHead(weights, text(unconditional)),
              )
            : unconditional,
      };
    },
    velocity: ({ trained, x, t, rows: index, prepared, purpose }) => {
      const result = showo2Velocity(
        merged(trained),
        config,
        x,
        t,
        conditionAt(prepared, index),
        guidance(purpose),
      );
      const { conditional, features } = result;
      return {
        velocity: castToStorage(result.velocity, 'float32'),
        ...(conditionalUpdates &&
          purpose === 'sampling' && { training: castToStorage(conditional, 'float32') }),
        ...(headOnly && {
          features: featureRecord(conditionalUpdates ? { conditional: features.conditional } : features),
        }),
      };
    },
    decode,
  };
  if (!headOnly) return policy;
  return {
    ...policy,
    velocityFromFeatures: ({ trained, features, t, rows: index, prepared }) =>
      castToStorage(
        velocityFromFeatures(
          merged(trained),
          config,
          features as unknown as Features,
          t,
          conditionAt(prepared, index),
          [t.shape[0]!, ...latentShape],
          guidance('training'),
        ),
        'float32',
      ),
  };
}

/** Without the absent branch: a pytree of tensors holds tensors only. */
const featureRecord = ({ conditional, unconditional }: Features): Record<string, tf.Tensor> =>
  unconditional ? { conditional, unconditional } : { conditional };
