/** What turns images into rewards, as the trainer needs it; the scorers of @flow-grpo/rewards fit. */
import type * as tf from '@tensorflow/tfjs-core';

export interface Scores {
  /** One reward an image, finite; NaN for an image that is dropped. */
  readonly scores: readonly number[];
  /**
   * Further numbers an image by name, such as the parts of a weighted sum; NaN where one does not apply. `dropped` is 1
   * for images that no reward could be had for: training leaves them out and counts them.
   */
  readonly details: Readonly<Record<string, readonly number[]>>;
}

export interface Scorer {
  readonly name: string;
  /** @param images [B, H, W, 3] in [0, 1]; the trainer disposes of it afterwards. */
  score(
    images: tf.Tensor4D,
    prompts: string[],
    metadata: Record<string, unknown>[],
    options?: { signal?: AbortSignal },
  ): Promise<Scores>;
}

/** Prompts by index: an array, or anything addressed like one. */
export interface PromptSource {
  readonly length: number;
  at(index: number): { readonly prompt: string; readonly metadata?: Record<string, unknown> } | undefined;
}
