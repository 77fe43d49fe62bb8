import type { TilingOptions } from '@flow-grpo/nn';
import { tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { imageBlockLength, type Showo2Config } from '../config/config';
import { type Showo2Condition, encodePrompts } from '../denoise/condition';
import { omniAttentionMask } from '../sequence/mask';
import type { GenerateTextOptions, TextPrefix } from '../text/generate';
import type { TextTokenizer } from '../tokenizer/tokenizer';
import { disposeCondition, type GenerateOptions } from './generate';
import type { Showo2Parts } from './parts';
import { gridOf, type Programs } from './programs';

/** A piece of a mixed-modal sequence. */
export type Segment = { text: string } | { image: tf.Tensor3D };

export interface InterleaveOptions extends Omit<GenerateOptions, 'negativePrompt'> {
  /** Most images to make; 4 by default. */
  maxImages?: number;
  /** Opens an image right after the prompt, instead of letting the model write first. */
  drawFirst?: boolean;
  text?: GenerateTextOptions;
}

/** What of a whole model is needed to write and to draw in turn; `Showo2` has it. */
export interface InterleavedModel {
  readonly parts: Showo2Parts;
  readonly programs: Programs;
  readonly tokenizer: TextTokenizer;
  configFor(size?: [height: number, width: number]): Showo2Config;
  continue(prefix: TextPrefix, options: GenerateTextOptions): Promise<number[]>;
  denoise(condition: Showo2Condition, count: number, options: GenerateOptions): Promise<tf.Tensor>;
  encodeImages(image: tf.Tensor3D, size?: [height: number, width: number]): tf.Tensor;
  decode(latents: tf.Tensor, tiling?: TilingOptions | false): tf.Tensor;
}

/**
 * Text and images in turn, after a prompt of text and images (upstream's inference_mixed_modality.py): the model writes
 * until it opens an image, the image is generated from everything before it, and so on until the model stops or
 * `maxImages` are made.
 */
export async function interleave(
  model: InterleavedModel,
  prompt: string | readonly Segment[],
  options: InterleaveOptions = {},
): Promise<Segment[]> {
  const { maxImages = 4, drawFirst = false, text, seed = 0, ...image } = options;
  const { programs, parts, tokenizer } = model;
  const { params } = parts;
  const config = model.configFor(options.size);
  const grid = gridOf(config);
  const { boi, eoi, eos, bos, imagePad } = config.tokens;
  const block = imageBlockLength(config);
  const ids = [bos];
  const places: [offset: number, length: number][] = [];
  const history: tf.Tensor[] = [];
  const segments: Segment[] = [];
  /** An image whose opening token is the last of `ids`. */
  const append = (latents: tf.Tensor) => {
    history.push(latents);
    places.push([ids.length, block]);
    ids.push(...new Array<number>(block).fill(imagePad), eoi);
  };
  // Upstream gives earlier images time 0 while it writes text, and time 1 while it makes the next image.
  const sequence = (time: number) => ({
    tokens: tf.tensor2d([ids], [1, ids.length], 'int32'),
    positions: [places],
    latents: tf.concat(history, 0),
    t: tf.fill([history.length], time),
  });
  const write = async (count: number): Promise<number[]> => {
    const prefix: TextPrefix = history.length
      ? {
          embeddings: tf.tidy(() => programs.embed(params, sequence(0), grid)),
          mask: omniAttentionMask(ids.length, [places]),
        }
      : { tokens: ids };
    try {
      const settings = { maxNewTokens: 200, ...text, stop: [eos, boi], seed: seed + count };
      return await model.continue(prefix, settings);
    } finally {
      if ('embeddings' in prefix) tf.dispose([prefix.embeddings, prefix.mask!]);
    }
  };
  const draw = async (count: number): Promise<tf.Tensor> => {
    const condition = tree.tidy((): Showo2Condition => {
      const own = { ...config, maxTextLength: ids.length };
      const words = history.length ? [] : ids.slice(1, -1);
      const plain = encodePrompts(params, own, [words], { head: true }, programs.encodeText);
      return history.length ? { ...plain, prompt: programs.encodeContext(params, sequence(1), grid) } : plain;
    });
    try {
      return await model.denoise(condition, 1, { ...image, seed: seed + count });
    } finally {
      disposeCondition(condition);
    }
  };
  try {
    for (const piece of typeof prompt === 'string' ? [{ text: prompt }] : prompt) {
      if ('text' in piece) ids.push(...tokenizer.encode(piece.text));
      else {
        ids.push(boi);
        append(model.encodeImages(piece.image, options.size));
      }
    }
    for (let count = 0; ; count++) {
      const made = count === 0 && drawFirst ? [boi] : await write(count);
      const words = tokenizer.decode(made, { skipSpecial: true });
      if (words.trim()) segments.push({ text: words });
      if (made[made.length - 1] !== boi || count === maxImages) return segments;
      ids.push(...made);
      const latents = await draw(count);
      append(latents);
      segments.push({
        image: tf.tidy(() => tf.squeeze(model.decode(latents, image.tiling), [0]) as tf.Tensor3D),
      });
    }
  } finally {
    tf.dispose(history);
  }
}
