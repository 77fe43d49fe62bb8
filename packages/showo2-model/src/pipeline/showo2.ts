import type { Params } from '@flow-grpo/nn';
import { initialNoise, sampleAsync, shiftedSchedule } from '@flow-grpo/sde-sampler';
import { jit } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { imageBlockLength, type Showo2Config } from '../config/config';
import {
  type Condition,
  type EncodeText,
  encodePrompts,
  type TextState,
  textEncoder,
} from '../denoise/condition';
import { encodeContext } from '../denoise/context';
import { type VelocityOptions, velocity } from '../denoise/velocity';
import { embedSequence, type SequenceInputs } from '../forward';
import { stackFrozen } from '../layers';
import type { LatentPreview } from '../preview';
import { previewLatents } from '../preview';
import { omniAttentionMask } from '../sequence/mask';
import { type GenerateTextOptions, generateText, type TextPrefix, textDecoder } from '../text/generate';
import { understandingPrefix } from '../text/understand';
import { tidyTree } from '../tidy';
import type { TextTokenizer } from '../tokenizer/tokenizer';
import { decode, decodeImage, encodeImage, spatialFactor, temporalFactor } from '../wan-vae';
import { coverCrop, fromUnit, toUnit } from './images';
import { type LoadShowo2Options, loadShowo2, type Showo2Parts } from './load';

/** Told after every denoising step. */
export interface DenoiseEvent {
  /** 1 … steps. */
  step: number;
  steps: number;
  /** What the latents would become, as pictures [B, h, w, 3]; needs the model's `preview`. The caller disposes it. */
  preview: () => tf.Tensor4D;
}

export interface GenerateOptions {
  /** 5 by default; 0 turns guidance off. */
  guidanceScale?: number;
  /** Model evaluations, 49 by default (upstream's 50 grid points). */
  steps?: number;
  /** s of the time shift, 3 by default. */
  shift?: number;
  seed?: number;
  /** Pixels, [height, width]; the configured size by default. */
  size?: [height: number, width: number];
  negativePrompt?: string;
  /** A promise is awaited before the next step. */
  onStep?: (event: DenoiseEvent) => unknown;
  signal?: AbortSignal;
}

/** A piece of a mixed-modal answer. */
export type Segment = { text: string } | { image: tf.Tensor3D };

/** An image's size in patches. */
type Grid = Pick<Showo2Config, 'gridHeight' | 'gridWidth'>;

/** Show-o2 with its tokenizer and VAE: text to image, image to text, text, mixed sequences, video. */
export class Showo2 {
  /** Set to have previews in `onStep` (see `fitLatentPreview`). */
  preview?: LatentPreview;
  private readonly steps = new Map<string, ReturnType<typeof compileVelocity>>();
  private readonly decodeText: ReturnType<typeof textDecoder>;
  private readonly encodeText: EncodeText;
  private readonly embed: (params: Params, inputs: SequenceInputs, grid: Grid) => tf.Tensor;
  private readonly encodeContext: (params: Params, inputs: SequenceInputs, grid: Grid) => TextState;
  private readonly encodePixels: (params: Params, images: tf.Tensor4D) => tf.Tensor4D;
  private readonly decodeImages: (params: Params, latents: tf.Tensor) => tf.Tensor;

  constructor(readonly parts: Showo2Parts) {
    this.decodeText = textDecoder(parts.config);
    this.encodeText = jit(textEncoder(parts.config), { name: 'showo2-text' });
    this.embed = jit(
      (params: Params, inputs: SequenceInputs, grid: Grid) =>
        embedSequence(params, { ...parts.config, ...grid }, inputs).embeddings,
      { name: 'showo2-embed' },
    );
    this.encodeContext = jit(
      (params: Params, inputs: SequenceInputs, grid: Grid) =>
        encodeContext(params, { ...parts.config, ...grid }, inputs),
      { name: 'showo2-context' },
    );
    const { config } = parts.vae;
    this.encodePixels = jit(
      (params: Params, images: tf.Tensor4D) => encodeImage(params, config, fromUnit(images)),
      { name: 'vae-encode' },
    );
    this.decodeImages = jit(
      (params: Params, latents: tf.Tensor): tf.Tensor =>
        toUnit(
          latents.rank === 5
            ? decode(params, config, latents as tf.Tensor5D)
            : decodeImage(params, config, latents as tf.Tensor4D),
        ),
      { name: 'vae-decode' },
    );
  }

  /**
   * Loads a model from a folder or from the hub (see `loadShowo2`). With `stacked`, the default on XLA, layers run under a scan, so that
   * they compile once; `parts.params` then holds them under the names of `stackLayers`.
   */
  static async fromPretrained(
    pathOrId: string,
    { stacked = tf.getBackend() === 'xla', ...options }: LoadShowo2Options & { stacked?: boolean } = {},
  ): Promise<Showo2> {
    const parts = await loadShowo2(pathOrId, options);
    return new Showo2(stacked ? { ...parts, params: stackFrozen(parts.params) } : parts);
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
    options: { negativePrompt?: string | undefined; video?: boolean } = {},
  ): Condition {
    const config = options.video
      ? { ...this.config, tokens: { ...this.config.tokens, boi: this.config.tokens.bov } }
      : this.config;
    const ids = prompts.map((prompt) => this.tokenizer.encode(prompt));
    const negative = this.tokenizer.encode(options.negativePrompt ?? '');
    const longest = Math.min(Math.max(...ids.map((row) => row.length)), config.maxTextLength);
    // Padding to a multiple of 16 keeps the number of compiled shapes small; it is masked, so numbers stay.
    const padTo = Math.ceil(longest / 16) * 16;
    return encodePrompts(this.parts.params, config, ids, { negative, padTo, head: true }, this.encodeText);
  }

  /** One image a prompt, [B, H, W, 3] in [0, 1]. */
  async generate(prompts: readonly string[], options: GenerateOptions = {}): Promise<tf.Tensor4D> {
    const condition = this.encodePrompts(prompts, options);
    let latents: tf.Tensor | undefined;
    try {
      latents = await this.denoise(condition, prompts.length, options);
      return this.decode(latents) as tf.Tensor4D;
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
    { frames, firstFrame, ...options }: GenerateOptions & { frames: number; firstFrame?: tf.Tensor3D },
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
  async denoise(
    condition: Condition,
    batch: number,
    options: GenerateOptions = {},
    frames?: number,
    firstFrame?: tf.Tensor,
  ): Promise<tf.Tensor> {
    const { guidanceScale = 5, steps = 49, shift = 3, seed = 0, signal } = options;
    const config = this.configFor(options.size);
    const shape = [
      ...[batch, ...(frames === undefined ? [] : [frames])],
      ...[config.gridHeight * config.patchSize, config.gridWidth * config.patchSize, config.latentChannels],
    ];
    const run = this.velocityFor(config);
    const { params } = this.parts;
    const settings: VelocityOptions = { guidanceScale, ...(firstFrame && { firstFrameAsCondition: true }) };
    const x = tf.tidy(() => {
      const noise = initialNoise(seed, shape);
      if (!firstFrame) return noise;
      const rest = tf.slice(noise, [0, 1, 0, 0, 0], [-1, frames! - 1, -1, -1, -1]);
      return tf.concat([tf.tile(tf.expandDims(firstFrame, 1), [batch, 1, 1, 1, 1]), rest], 1);
    });
    try {
      const times = tf.zeros([batch]);
      await run.compile(params, x, times, condition, settings);
      times.dispose();
      return await sampleAsync(
        (latents, t) => {
          signal?.throwIfAborted();
          return run(params, latents, t, condition, settings);
        },
        {
          schedule: shiftedSchedule(steps, shift),
          x,
          rule: 'ode',
          onStep: (event) =>
            options.onStep?.({
              step: event.step + 1,
              steps: event.steps,
              preview: () => this.previewOf(event.preview()),
            }),
        },
      );
    } finally {
      x.dispose();
    }
  }

  /** Latents to images or clips in [0, 1]. */
  decode(latents: tf.Tensor): tf.Tensor {
    return this.decodeImages(this.parts.vae.params, latents);
  }

  /** An image [H, W, 3] in [0, 1], scaled and cut to the given or configured size, to latents [1, h, w, C]. */
  encodeImages(image: tf.Tensor3D, size?: [height: number, width: number]): tf.Tensor4D {
    const config = this.configFor(size);
    const pixels = this.pixelsPerPatch();
    const { vae } = this.parts;
    return tf.tidy(() => {
      const fitted = coverCrop(image, config.gridHeight * pixels, config.gridWidth * pixels);
      return this.encodePixels(vae.params, tf.expandDims(fitted, 0) as tf.Tensor4D);
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
    const prefix = tidyTree(() =>
      understandingPrefix(this.parts.params, this.config, before, this.encodeImages(image), after),
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
    return generateText(this.parts.params, this.config, prefix, options, this.decodeText);
  }

  /**
   * Text and images in turn (upstream's mixed-modality script): the model writes until it opens an image, the image is
   * generated from everything before it, and so on until the model stops or `maxImages` are made.
   */
  async interleave(
    prompt: string,
    options: GenerateOptions & { maxImages?: number; text?: GenerateTextOptions } = {},
  ): Promise<Segment[]> {
    const { maxImages = 4, text, seed = 0, ...image } = options;
    const { params } = this.parts;
    const config = this.configFor(options.size);
    const grid: Grid = { gridHeight: config.gridHeight, gridWidth: config.gridWidth };
    const { boi, eoi, eos, bos, imagePad } = config.tokens;
    const block = imageBlockLength(config);
    const ids = [bos, ...this.tokenizer.encode(prompt)];
    const places: [number, number][] = [];
    const history: tf.Tensor[] = [];
    const segments: Segment[] = [];
    // Upstream gives earlier images time 0 while it writes text, and time 1 while it makes the next image.
    const sequence = (time: number) => ({
      tokens: tf.tensor2d([ids], [1, ids.length], 'int32'),
      positions: [places],
      latents: tf.concat(history, 0),
      t: tf.fill([history.length], time),
    });
    try {
      for (let count = 0; ; count++) {
        const prefix: TextPrefix = history.length
          ? { embeddings: tf.tidy(() => this.embed(params, sequence(0), grid)) }
          : { tokens: ids };
        const mask = history.length ? omniAttentionMask(ids.length, [places]) : undefined;
        const made = await this.continue('embeddings' in prefix && mask ? { ...prefix, mask } : prefix, {
          maxNewTokens: 200,
          ...text,
          stop: [eos, boi],
          seed: seed + count,
        });
        if ('embeddings' in prefix) tf.dispose([prefix.embeddings, mask!]);
        const words = this.tokenizer.decode(made, { skipSpecial: true });
        if (words.trim()) segments.push({ text: words });
        if (made[made.length - 1] !== boi || count === maxImages) return segments;
        ids.push(...made);
        const condition = tidyTree((): Condition => {
          const own = { ...config, maxTextLength: ids.length };
          const plain = encodePrompts(
            params,
            own,
            [history.length ? [] : ids.slice(1, -1)],
            { head: true },
            this.encodeText,
          );
          return history.length ? { ...plain, prompt: this.encodeContext(params, sequence(1), grid) } : plain;
        });
        const latents = await this.denoise(condition, 1, { ...image, seed: seed + count });
        disposeCondition(condition);
        history.push(latents);
        places.push([ids.length, block]);
        ids.push(...new Array<number>(block).fill(imagePad), eoi);
        segments.push({ image: tf.tidy(() => tf.squeeze(this.decode(latents), [0]) as tf.Tensor3D) });
      }
    } finally {
      tf.dispose(history);
    }
  }

  /** Frees the weights. */
  dispose(): void {
    tf.dispose([this.parts.params, this.parts.vae.params]);
  }

  private previewOf(latents: tf.Tensor): tf.Tensor4D {
    if (!this.preview) throw new Error("Previews need the model's `preview`: fit one with fitLatentPreview.");
    const frames = latents.rank === 5 ? (tf.unstack(latents, 1)[0] as tf.Tensor) : latents;
    return previewLatents(this.preview, frames as tf.Tensor4D);
  }

  private pixelsPerPatch(): number {
    return this.config.patchSize * spatialFactor(this.parts.vae.config);
  }

  private configFor(size?: [height: number, width: number]): Showo2Config {
    if (!size) return this.config;
    const pixels = this.pixelsPerPatch();
    if (size.some((side) => !Number.isInteger(side) || side < pixels || side % pixels !== 0)) {
      throw new Error(`size must be multiples of ${pixels} pixels, got ${size.join(' x ')}.`);
    }
    return { ...this.config, gridHeight: size[0] / pixels, gridWidth: size[1] / pixels };
  }

  private velocityFor(config: Showo2Config) {
    const key = `${config.gridHeight}x${config.gridWidth}`;
    let compiled = this.steps.get(key);
    if (!compiled) {
      compiled = compileVelocity(config);
      this.steps.set(key, compiled);
    }
    return compiled;
  }
}

function compileVelocity(config: Showo2Config) {
  return jit(
    (params: Params, x: tf.Tensor, t: tf.Tensor, condition: Condition, options: VelocityOptions) =>
      velocity(params, config, x, t, condition, options).velocity,
    { name: 'showo2-velocity' },
  );
}

function disposeCondition({ prompt, unconditional }: Condition): void {
  tf.dispose([...Object.values(prompt), ...Object.values(unconditional)] as tf.Tensor[]);
}
