import type { TilingOptions } from '@flow-grpo/nn';
import { initialNoise, sampleAsync, shiftedSchedule } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import type { Showo2Condition } from '../denoise/condition';
import type { VelocityOptions } from '../denoise/velocity';
import type { Showo2Parts } from './parts';
import { gridOf, type Programs } from './programs';

/** Told after every denoising step. */
export interface DenoiseEvent {
  /** 1 … steps. */
  step: number;
  steps: number;
  /** What the latents would become, as pictures [B, h, w, 3]; needs the model's `preview`. The caller disposes it. */
  preview: () => tf.Tensor4D;
}

export interface GenerateOptions {
  /** 5 by default; 0 means no guidance. Negative scales are errors. */
  guidanceScale?: number;
  /** Model evaluations, 49 by default (upstream's 50 grid points). */
  steps?: number;
  /** s of the time shift, 3 by default. */
  shift?: number;
  seed?: number;
  /** Pixels, [height, width]; the configured size by default. */
  size?: [height: number, width: number];
  negativePrompt?: string;
  /** Decodes images in overlapping tiles, for sizes whose whole decode does not fit the memory; whole by default. */
  tiling?: TilingOptions;
  /** A promise is awaited before the next step. */
  onStep?: (event: DenoiseEvent) => unknown;
  signal?: AbortSignal;
}

/** What is denoised: one row per prompt, clips of `frames` latent frames, or images without. */
export interface DenoiseShape {
  batch: number;
  frames?: number | undefined;
  /** Latents [1, h, w, C] of the frame that a clip starts with. */
  firstFrame?: tf.Tensor | undefined;
}

/**
 * Integrates the velocity from noise to latents [B, (T), h, w, C]: one compiled program, which every step runs again.
 */
export async function denoiseLatents(
  programs: Programs,
  { params }: Pick<Showo2Parts, 'params'>,
  config: Showo2Config,
  condition: Showo2Condition,
  { batch, frames, firstFrame }: DenoiseShape,
  options: Omit<GenerateOptions, 'onStep'> & {
    onStep?: (step: number, steps: number, preview: () => tf.Tensor) => unknown;
  },
): Promise<tf.Tensor> {
  const { guidanceScale = 5, steps = 49, shift = 3, seed = 0, signal, onStep } = options;
  const { gridHeight, gridWidth, patchSize, latentChannels } = config;
  const image = [gridHeight * patchSize, gridWidth * patchSize, latentChannels];
  const settings: VelocityOptions = { guidanceScale, ...(firstFrame && { firstFrameAsCondition: true }) };
  const run = (x: tf.Tensor, t: tf.Tensor) => [params, x, t, condition, settings, gridOf(config)] as const;
  const x = tf.tidy(() => {
    const noise = initialNoise(seed, [batch, ...(frames === undefined ? [] : [frames]), ...image]);
    if (!firstFrame) return noise;
    const rest = tf.slice(noise, [0, 1, 0, 0, 0], [-1, frames! - 1, -1, -1, -1]);
    return tf.concat([tf.tile(tf.expandDims(firstFrame, 1), [batch, 1, 1, 1, 1]), rest], 1);
  });
  try {
    const times = tf.zeros([batch]);
    await programs.velocity.compile(...run(x, times));
    times.dispose();
    return await sampleAsync(
      (latents, t) => {
        signal?.throwIfAborted();
        return programs.velocity(...run(latents, t));
      },
      {
        ...{ schedule: shiftedSchedule(steps, shift), x, rule: 'ode' },
        onStep: (event) => onStep?.(event.step + 1, event.steps, event.preview),
      },
    );
  } finally {
    x.dispose();
  }
}

export function disposeCondition({ prompt, unconditional }: Showo2Condition): void {
  tf.dispose([...Object.values(prompt), ...Object.values(unconditional)] as tf.Tensor[]);
}
