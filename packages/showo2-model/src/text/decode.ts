import { type LayerKv, type Params, qwenLayer, runLayers } from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { SHOWO2_LAYER_BASES } from '../layers';
import { embedTokens, tokenLogits, trunkNorm, trunkRotary } from '../trunk/trunk';

/** Keys and values of a growing sequence in buffers of fixed length, so that one compiled step serves every position. */
export type TextCache = LayerKv;

/**
 * Runs a prefix [1, L, hidden] through the trunk, with an additive mask or causally, and keeps its keys and values in
 * buffers for `capacity` tokens. The last token must see the whole prefix, as generated tokens will.
 *
 * @returns logits [1, vocab] after the last token, and the cache.
 */
export function prefill(
  params: Params,
  config: Showo2Config,
  embeddings: tf.Tensor,
  capacity: number,
  mask?: tf.Tensor,
): { logits: tf.Tensor; cache: TextCache } {
  const length = embeddings.shape[1]!;
  if (capacity < length) throw new Error(`A cache of ${capacity} tokens cannot hold a prefix of ${length}.`);
  const rotary = trunkRotary(config.trunk, tf.range(0, length));
  const { x, kv } = runLayers(
    params,
    SHOWO2_LAYER_BASES.trunk,
    config.trunk.layers,
    embeddings,
    (p, prefix, y) => {
      let own: LayerKv | undefined;
      const next = qwenLayer(p, prefix, config.trunk, y, rotary, (q, keys, values) => {
        own = { keys, values };
        return scaledDotProductAttention(q, keys, values, mask ? { mask } : { causal: true });
      });
      return [next, own];
    },
  );
  const grow = (y: tf.Tensor) =>
    tf.pad(y, [
      [0, 0],
      [0, 0],
      [0, capacity - length],
      [0, 0],
      [0, 0],
    ]);
  const last = tf.slice(x, [0, length - 1, 0], [-1, 1, -1]);
  return {
    logits: tf.squeeze(tokenLogits(params, config, trunkNorm(params, config, last)), [1]),
    cache: { keys: grow(kv!.keys), values: grow(kv!.values) },
  };
}

/** One token (int32 [1]) at `position` (int32 scalar): logits [1, vocab] and the cache that holds it. For jit. */
export function decodeStep(
  params: Params,
  config: Showo2Config,
  cache: TextCache,
  token: tf.Tensor,
  position: tf.Tensor,
): { logits: tf.Tensor; cache: TextCache } {
  const capacity = cache.keys.shape[2]!;
  const rotary = trunkRotary(config.trunk, tf.reshape(position, [1]));
  const here = tf.equal(tf.range(0, capacity, 1, 'int32'), position);
  const slot = tf.reshape(here, [1, capacity, 1, 1]);
  const kvLengths = tf.add(tf.reshape(position, [1]), tf.scalar(1, 'int32'));
  const embedded = tf.reshape(embedTokens(params, token), [1, 1, config.trunk.hiddenSize]);
  const { x, kv } = runLayers(
    params,
    SHOWO2_LAYER_BASES.trunk,
    config.trunk.layers,
    embedded,
    (p, prefix, y, given) => {
      let own: LayerKv | undefined;
      const next = qwenLayer(p, prefix, config.trunk, y, rotary, (q, k, v) => {
        own = { keys: tf.where(slot, k, given!.keys), values: tf.where(slot, v, given!.values) };
        return scaledDotProductAttention(q, own.keys, own.values, { kvLengths });
      });
      return [next, own];
    },
    cache,
  );
  const logits = tokenLogits(params, config, trunkNorm(params, config, x));
  return { logits: tf.squeeze(logits, [1]), cache: kv! };
}
