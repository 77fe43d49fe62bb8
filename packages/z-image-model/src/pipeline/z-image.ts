import { type TilingOptions, toUnitRange } from '@flow-grpo/nn';
import { initialNoise, sampleAsync } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { decodeLatentsTiled, spatialFactor } from '../autoencoder';
import { type Guidance, isGuided, isGuidedAt } from '../guidance';
import type { Captions, TextStates } from '../transformer';
import type { ZImageParts } from './parts';
import { type Programs, zImagePrograms } from './programs';
import type { PromptOptions } from './prompt-encoder';
import { scheduleFor } from './scheduler';

/** Told after every denoising step. */
export interface DenoiseEvent {
  /** 1 … steps. */
  readonly step: number;
  readonly steps: number;
  /** The latents after the step; they belong to the loop. */
  readonly latents: tf.Tensor4D;
}

export interface GenerateOptions extends Partial<Guidance> {
  /** Pixels, multiples of 16. Default [1024, 1024]. */
  readonly size?: readonly [height: number, width: number] | undefined;
  /** Evaluations of the model. Default 50; 8 are Turbo's. */
  readonly steps?: number | undefined;
  /** s of the time shift, instead of the scheduler's. */
  readonly shift?: number | undefined;
  /** One text for all prompts (default the empty one), or one for each. */
  readonly negativePrompt?: string | readonly string[] | undefined;
  readonly seed?: number | undefined;
  /** The noise to start from, [B, h, w, C], instead of the seed's. */
  readonly latents?: tf.Tensor4D | undefined;
  /** Tokens that prompts are cut at, chat layout included. Default 512. */
  readonly maxTokens?: number | undefined;
  /** Decodes in overlapping tiles, for sizes whose whole decode does not fit the memory; whole by default. */
  readonly tiling?: TilingOptions | undefined;
  /** A promise is awaited before the next step. */
  readonly onStep?: ((event: DenoiseEvent) => unknown) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Prompts as states, with those of the negative prompt: one row for all, or as many as prompts. */
export type Conditioning = {
  readonly prompt: TextStates;
  /** Not needed without guidance. */
  readonly negative?: TextStates | undefined;
};

/** Z-Image: text to images. */
export class ZImage {
  /** The compiled functions behind the methods. @internal */
  readonly programs: Programs;

  constructor(readonly parts: ZImageParts) {
    this.programs = zImagePrograms(parts);
  }

  /**
   * States of prompts in the chat layout; the caller disposes of them.
   *
   * @throws when the model was loaded without its text encoder
   */
  encodePrompts(prompts: readonly string[], options: PromptOptions = {}): TextStates {
    const { encodePrompts } = this.programs;
    if (!encodePrompts) {
      throw new Error('This model was loaded without its text encoder: give states of prompts, not prompts.');
    }
    return encodePrompts(prompts, options);
  }

  /**
   * One image per prompt, [B, H, W, 3] in [0, 1]. Prompts may be given as states (`encodePrompts`), with those of the negative
   * prompt.
   */
  async generate(
    prompts: readonly string[] | Conditioning,
    options: GenerateOptions = {},
  ): Promise<tf.Tensor4D> {
    const given = isTexts(prompts) ? undefined : prompts;
    const made = given ?? this.conditioningOf(prompts as readonly string[], options);
    let latents: tf.Tensor4D | undefined;
    try {
      latents = await this.denoise(made, options);
      return this.decode(latents, options.tiling);
    } finally {
      if (!given) tf.dispose([made.prompt, made.negative ?? []] as tf.TensorContainer);
      latents?.dispose();
    }
  }

  /** Integrates the velocity from noise to latents [B, h, w, C]. Captions are refined once, before the first step. */
  async denoise({ prompt, negative }: Conditioning, options: GenerateOptions = {}): Promise<tf.Tensor4D> {
    const { transformer, scheduler } = this.parts;
    const { params, config } = transformer;
    const { steps = 50, shift, seed = 0, signal, onStep, guidanceScale = 5 } = options;
    const { cfgNormalization, cfgTruncation } = options;
    const guidance: Guidance = { guidanceScale, cfgNormalization, cfgTruncation };
    const shape = this.latentShape(prompt.lengths.shape[0]!, options.size);
    const tokens = (shape[1] * shape[2]) / config.patchSize ** 2;
    const spacing = shift === undefined ? scheduler : { ...scheduler, shift, dynamic: false };
    if (isGuided(guidance) && !negative) throw new Error('Guidance needs the states of a negative prompt.');
    const x = options.latents ? tf.clone(options.latents) : (initialNoise(seed, shape) as tf.Tensor4D);
    const captions: Captions[] = [];
    try {
      if (x.shape.some((size, axis) => size !== shape[axis])) {
        throw new Error(`latents must be [${shape}] for this size and these prompts, got [${x.shape}].`);
      }
      const refine = (states: TextStates) => {
        const refined = this.programs.refineCaptions(params, states);
        captions.push(refined);
        return refined;
      };
      const conditional = refine(prompt);
      const unconditional = isGuided(guidance) ? refine(negative!) : undefined;
      const final = await sampleAsync(
        (latents, t, { progress }) => {
          signal?.throwIfAborted();
          const at = [params, latents as tf.Tensor4D, t] as const;
          return unconditional && isGuidedAt(guidance, progress)
            ? this.programs.guidedVelocity(...at, conditional, unconditional, guidance)
            : this.programs.velocity(...at, conditional);
        },
        {
          ...{ schedule: scheduleFor(spacing, steps, tokens), x, rule: 'ode' },
          onStep: (event) =>
            onStep?.({ step: event.step + 1, steps: event.steps, latents: event.x as tf.Tensor4D }),
        },
      );
      return final as tf.Tensor4D;
    } finally {
      x.dispose();
      tf.dispose(captions as unknown as tf.TensorContainer);
    }
  }

  /** Latents to images in [0, 1]; in overlapping tiles where `tiling` is given. */
  decode(latents: tf.Tensor4D, tiling?: TilingOptions): tf.Tensor4D {
    const { params, config } = this.parts.vae;
    const whole = (part: tf.Tensor4D) => this.programs.decode(params, part);
    return tf.tidy(() =>
      toUnitRange(
        tiling
          ? decodeLatentsTiled(params, config, latents, { ...tiling, decodeTile: whole })
          : whole(latents),
      ),
    );
  }

  /** Images [B, H, W, 3] in [0, 1] to latents [B, h, w, C], the mode of the posterior. */
  encodeImages(images: tf.Tensor4D): tf.Tensor4D {
    return this.programs.encodeImages(this.parts.vae.params, images);
  }

  /** Shape of the latents of images of a size in pixels. Throws for one that is no whole number of tokens. */
  latentShape(
    batch: number,
    size: readonly [height: number, width: number] = [1024, 1024],
  ): [number, number, number, number] {
    const { transformer, vae } = this.parts;
    const factor = spatialFactor(vae.config);
    const pixels = factor * transformer.config.patchSize;
    if (size.some((side) => !Number.isInteger(side) || side < pixels || side % pixels !== 0)) {
      throw new Error(`size must be multiples of ${pixels} pixels, got ${size.join(' x ')}.`);
    }
    return [batch, size[0] / factor, size[1] / factor, transformer.config.inChannels];
  }

  /** Frees the weights. */
  dispose(): void {
    const { transformer, textEncoder, vae } = this.parts;
    tf.dispose([transformer.params, textEncoder?.params ?? {}, vae.params]);
  }

  private conditioningOf(prompts: readonly string[], options: GenerateOptions): Conditioning {
    const { negativePrompt = '', guidanceScale = 5, maxTokens } = options;
    const negatives = typeof negativePrompt === 'string' ? [negativePrompt] : negativePrompt;
    if (negatives.length !== 1 && negatives.length !== prompts.length) {
      throw new Error(`${negatives.length} negative prompts do not fit ${prompts.length} prompts.`);
    }
    const guided = isGuided({ guidanceScale });
    const prompt = this.encodePrompts(prompts, { maxTokens });
    return { prompt, negative: guided ? this.encodePrompts(negatives, { maxTokens }) : undefined };
  }
}

const isTexts = (prompts: readonly string[] | Conditioning): prompts is readonly string[] =>
  Array.isArray(prompts);
