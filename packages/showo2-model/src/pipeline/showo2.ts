import { type TilingOptions, toUnitRange } from '@flow-grpo/nn';
import { tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { type Showo2Condition, encodePrompts } from '../denoise/condition';
import { type LatentPreview, previewLatents } from '../preview';
import { type GenerateTextOptions, generateText, type TextPrefix } from '../text/generate';
import { chooseTextLength, cutPromptsMessage } from '../text-length';
import type { TextTokenizer } from '../tokenizer/tokenizer';
import { decodeImageTiled, spatialFactor, temporalFactor } from '../wan-vae';
import { denoiseLatents, disposeCondition, type GenerateOptions } from './generate';
import { coverCrop } from './images';
import { type InterleaveOptions, interleave, type Segment } from './interleave';
import type { Showo2Parts } from './parts';
import { type Programs, showo2Programs } from './programs';

/** Show-o2 with its tokenizer and VAE: text to image, image to text, text, mixed sequences, video. */
export class Showo2 {
  /** Set to have previews in `onStep` (see `fitLatentPreview`). */
  preview?: LatentPreview;
  /** The compiled functions behind the methods. @internal */
  readonly programs: Programs;

  constructor(readonly parts: Showo2Parts) {
    this.programs = showo2Programs(parts);
  }

  get config(): Showo2Config {
    return this.parts.config;
  }

  get tokenizer(): TextTokenizer {
    return this.parts.tokenizer;
  }

  /** Prompts to what the denoiser attends to, with the head's text path (weights as they are now). */
  encodePrompts(
    prompts: readonly string[],
    options: {
      negativePrompt?: string | undefined;
      video?: boolean;
      /** Told of prompts that are cut at the model's limit; console.warn by default. */
      onMessage?: (message: string) => void;
    } = {},
  ): Showo2Condition {
    const config = options.video
      ? { ...this.config, tokens: { ...this.config.tokens, boi: this.config.tokens.bov } }
      : this.config;
    const ids = prompts.map((prompt) => this.tokenizer.encode(prompt));
    const negative = this.tokenizer.encode(options.negativePrompt ?? '');
    const chosen = chooseTextLength(
      config,
      ids.map((row) => row.length),
    );
    const message = cutPromptsMessage(chosen);
    if (message !== undefined) (options.onMessage ?? console.warn)(message);
    const encoding = { negative, textLength: chosen.length, head: true };
    return encodePrompts(this.parts.params, config, ids, encoding, this.programs.encodeText);
  }

  /** One image a prompt, [B, H, W, 3] in [0, 1]. */
  async generate(prompts: readonly string[], options: GenerateOptions = {}): Promise<tf.Tensor4D> {
    const condition = this.encodePrompts(prompts, options);
    let latents: tf.Tensor | undefined;
    try {
      latents = await this.denoise(condition, prompts.length, options);
      return this.decode(latents, options.tiling) as tf.Tensor4D;
    } finally {
      disposeCondition(condition);
      latents?.dispose();
    }
  }

  /**
   * One clip a prompt, [B, frames, H, W, 3] in [0, 1]; `frames` is 1 + 4k (for Wan 2.1's factor). With `firstFrame`
   * ([H, W, 3] in [0, 1]) that frame is given and the rest follows from it.
   */
  async generateVideo(
    prompts: readonly string[],
    {
      frames,
      firstFrame,
      ...options
    }: Omit<GenerateOptions, 'tiling'> & { frames: number; firstFrame?: tf.Tensor3D },
  ): Promise<tf.Tensor5D> {
    const group = temporalFactor(this.parts.vae.config);
    if (!Number.isInteger(frames) || frames < 1 || (frames - 1) % group !== 0) {
      throw new Error(`frames must be 1 + ${group}k, got ${frames}.`);
    }
    const condition = this.encodePrompts(prompts, { ...options, video: true });
    const first = firstFrame && this.encodeImages(firstFrame, options.size);
    let latents: tf.Tensor | undefined;
    try {
      latents = await this.denoise(condition, prompts.length, options, 1 + (frames - 1) / group, first);
      return this.decode(latents) as tf.Tensor5D;
    } finally {
      disposeCondition(condition);
      latents?.dispose();
      first?.dispose();
    }
  }

  /** Latents of the condition's prompts: [B, h, w, C], or [B, T, h, w, C] with `frames` latent frames. */
  denoise(
    condition: Showo2Condition,
    batch: number,
    options: GenerateOptions = {},
    frames?: number,
    firstFrame?: tf.Tensor,
  ): Promise<tf.Tensor> {
    const config = this.configFor(options.size);
    const shape = { batch, frames, firstFrame };
    return denoiseLatents(this.programs, this.parts, config, condition, shape, {
      ...options,
      onStep: (step, steps, preview) =>
        options.onStep?.({ step, steps, preview: () => this.previewOf(preview()) }),
    });
  }

  /** Latents to images or clips in [0, 1]; images in overlapping tiles where `tiling` is given. */
  decode(latents: tf.Tensor, tiling?: TilingOptions): tf.Tensor {
    const { params, config } = this.parts.vae;
    const whole = (part: tf.Tensor) => this.programs.decode(params, part);
    return tf.tidy(() => {
      if (!tiling) return toUnitRange(whole(latents));
      if (latents.rank !== 4) throw new Error('Only images are decoded in tiles, not clips.');
      const decodeTile = (part: tf.Tensor4D) => whole(part) as tf.Tensor4D;
      return toUnitRange(decodeImageTiled(params, config, latents as tf.Tensor4D, { ...tiling, decodeTile }));
    });
  }

  /** An image [H, W, 3] in [0, 1], scaled and cut to the given or configured size, to latents [1, h, w, C]. */
  encodeImages(image: tf.Tensor3D, size?: [height: number, width: number]): tf.Tensor4D {
    const config = this.configFor(size);
    const pixels = this.pixelsPerPatch();
    const { vae } = this.parts;
    return tf.tidy(() => {
      const fitted = coverCrop(image, config.gridHeight * pixels, config.gridWidth * pixels);
      return this.programs.encodeImages(vae.params, tf.expandDims(fitted, 0) as tf.Tensor4D);
    });
  }

  /** Answers a question about an image [H, W, 3] in [0, 1] in Qwen2.5's chat form. Greedy unless told otherwise. */
  async describe(image: tf.Tensor3D, question: string, options: GenerateTextOptions = {}): Promise<string> {
    const { tokens } = this.config;
    const encode = (text: string) => this.tokenizer.encode(text);
    const before = [
      tokens.bos,
      ...encode('system\nYou are a helpful assistant.<|im_end|>'),
      ...encode('\n<|im_start|>user\n'),
    ];
    const after = [...encode(question), ...encode('\n<|im_start|>assistant\n')];
    const row = (ids: number[]) => tf.tensor2d([ids], [1, ids.length], 'int32');
    const prefix = tree.tidy(() =>
      this.programs.understand(this.parts.params, row(before), this.encodeImages(image), row(after)),
    );
    try {
      const ids = await this.continue(prefix, { topK: 1, maxNewTokens: 300, ...options });
      return this.tokenizer.decode(ids, { skipSpecial: true });
    } finally {
      tf.dispose([prefix.embeddings, prefix.mask]);
    }
  }

  /** Continues a text. */
  async complete(text: string, options: GenerateTextOptions = {}): Promise<string> {
    const ids = await this.continue(
      { tokens: [this.config.tokens.bos, ...this.tokenizer.encode(text)] },
      options,
    );
    return this.tokenizer.decode(ids, { skipSpecial: true });
  }

  /** Continues a sequence of ids or embeddings; see `generateText`. */
  continue(prefix: TextPrefix, options: GenerateTextOptions = {}): Promise<number[]> {
    return generateText(this.parts.params, this.config, prefix, options, this.programs.text);
  }

  /** Text and images in turn after a prompt of text and images; see the function `interleave`. */
  interleave(prompt: string | readonly Segment[], options: InterleaveOptions = {}): Promise<Segment[]> {
    return interleave(this, prompt, options);
  }

  /** Frees the weights. */
  dispose(): void {
    tf.dispose([this.parts.params, this.parts.vae.params]);
  }

  /** The configuration for images of a size in pixels, [height, width]. Throws for one that is no whole number of patches. */
  configFor(size?: [height: number, width: number]): Showo2Config {
    if (!size) return this.config;
    const pixels = this.pixelsPerPatch();
    if (size.some((side) => !Number.isInteger(side) || side < pixels || side % pixels !== 0)) {
      throw new Error(`size must be multiples of ${pixels} pixels, got ${size.join(' x ')}.`);
    }
    return { ...this.config, gridHeight: size[0] / pixels, gridWidth: size[1] / pixels };
  }

  private previewOf(latents: tf.Tensor): tf.Tensor4D {
    if (!this.preview) throw new Error("Previews need the model's `preview`: fit one with fitLatentPreview.");
    const frames = latents.rank === 5 ? (tf.unstack(latents, 1)[0] as tf.Tensor) : latents;
    return previewLatents(this.preview, frames as tf.Tensor4D);
  }

  private pixelsPerPatch(): number {
    return this.config.patchSize * spatialFactor(this.parts.vae.config);
  }
}
