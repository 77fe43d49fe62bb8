import type * as tf from '@tensorflow/tfjs-core';

/** An image file in memory: PNG, JPEG, WebP, GIF, TIFF or AVIF. */
export interface EncodedImage {
  bytes: Uint8Array;
  /** Such as `image/png`; found from the bytes when left out. */
  mimeType?: string;
}

/** Images to score: [B, H, W, 3] float32 in [0, 1], or files. */
export type ScorerImages = tf.Tensor4D | EncodedImage[];

export interface ScoreOptions {
  /** Aborts the scoring; the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface Scores {
  /** One number per image, in the order of the images; higher is better. */
  scores: number[];
  /** Parts of the score by name, one number per image each; NaN where a part does not apply to an image. */
  details: Record<string, number[]>;
}

/** What every reward is: images with their prompts and metadata in, numbers out. Never disposes its input. */
export interface Scorer {
  readonly name: string;
  /** Of a weighted sum: the weight of each part, by the name that it has among the details. */
  readonly weights?: Readonly<Record<string, number>>;
  /** Whether it compares the images of a prompt, and so needs all of them in one call. */
  readonly wholeGroups?: boolean;
  score(
    images: ScorerImages,
    prompts: string[],
    metadata: Record<string, unknown>[],
    options?: ScoreOptions,
  ): Promise<Scores>;
  /**
   * Runs what `score` runs on the device for images like these, inside of tfjs-jit's compileAhead, where nothing is computed:
   * for programs to be compiled before the first images. Absent where there are none.
   */
  plan?(images: tf.Tensor4D, prompts: string[]): void;
}
