import type { Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { timeEmbedding, timeToken } from '../head/time';
import { omniAttentionMask } from '../sequence/mask';
import { embedTokens } from '../trunk/trunk';
import { imageEmbeddings } from '../vision/embed';

type TokenRow = readonly number[] | tf.Tensor;

/**
 * A question about an image as a prefix for text: `before` (bos and text), boi, time token, image, eoi, `after` (the
 * question), with the image clean (t = 1). `before` and `after` are ids, or int32 [1, n]; `latents` is [1, H, W, C].
 *
 * Upstream's script counts the image block from one token too far: the time token is left out of the bidirectional block
 * and eoi is in it. That is kept by default, for the same answers; `upstreamOffset: false` gives the block of training.
 */
export function understandingPrefix(
  params: Params,
  config: Showo2Config,
  before: TokenRow,
  latents: tf.Tensor,
  after: TokenRow,
  { upstreamOffset = true }: { upstreamOffset?: boolean } = {},
): { embeddings: tf.Tensor; mask: tf.Tensor } {
  const { boi, eoi } = config.tokens;
  const row = (ids: TokenRow) =>
    ids instanceof tf.Tensor ? ids : tf.tensor2d([[...ids]], [1, ids.length], 'int32');
  const first = row(before);
  const image = imageEmbeddings(params, config, latents);
  const token = timeToken(params, config, timeEmbedding(params, config, tf.tensor1d([1])));
  const middle = config.addTimeEmbeds ? [tf.expandDims(token, 1), image] : [image];
  const opened = embedTokens(params, tf.concat([first, row([boi])], 1));
  const closed = embedTokens(params, tf.concat([row([eoi]), row(after)], 1));
  const embeddings = tf.concat([opened, ...middle, closed], 1);
  const block = image.shape[1]! + (config.addTimeEmbeds ? 1 : 0);
  const offset = first.shape[1]! + 1 + (config.addTimeEmbeds && upstreamOffset ? 1 : 0);
  return { embeddings, mask: omniAttentionMask(embeddings.shape[1]!, [[[offset, block]]]) };
}
