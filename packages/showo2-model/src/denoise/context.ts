import { type LayerKv, type Params, qwenLayer, runLayers } from '@flow-grpo/nn';
import { scaledDotProductAttention } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Showo2Config } from '../config/config';
import { embedSequence, neutralModulation, type SequenceInputs, spread } from '../forward';
import { blockModulation, headBlock, splitModulation } from '../head/block';
import { headInput, headRotary } from '../head/head';
import { SHOWO2_LAYER_BASES } from '../layers';
import { modulationRows } from '../sequence/assemble';
import { omniAttentionMask } from '../sequence/mask';
import { trunkNorm, trunkRotary } from '../trunk/trunk';
import type { TextState } from './condition';

/**
 * Everything before an image that is to be generated, other images included (mixed-modal sequences, image conditioning):
 * those are clean, so nothing of it changes while the last image is denoised. The result stands for a prompt in
 * `showo2Velocity`. Rows have equal length, [bos] … [boi]; the head's keys and values are included, with the earlier images'
 * modulation.
 */
export function encodeContext(params: Params, config: Showo2Config, inputs: SequenceInputs): TextState {
  const [batch, length] = inputs.tokens.shape as [number, number];
  const mask = inputs.mask ?? omniAttentionMask(length, inputs.positions);
  const keep = (made: { kv?: LayerKv }) => (q: tf.Tensor, keys: tf.Tensor, values: tf.Tensor) => {
    made.kv = { keys, values };
    return scaledDotProductAttention(q, keys, values, { mask });
  };
  const { embeddings, time } = embedSequence(params, config, inputs);
  const positions = tf.range(0, length);
  const rotary = trunkRotary(config.trunk, positions);
  const trunk = runLayers(
    params,
    SHOWO2_LAYER_BASES.trunk,
    config.trunk.layers,
    embeddings,
    (p, prefix, y) => {
      const made: { kv?: LayerKv } = {};
      return [qwenLayer(p, prefix, config.trunk, y, rotary, keep(made)), made.kv];
    },
  );
  const hidden = headInput(params, config, trunkNorm(params, config, trunk.x));
  const turned = headRotary(config.head, positions);
  const index = modulationRows(length, inputs.positions);
  const head = runLayers(params, SHOWO2_LAYER_BASES.head, config.head.layers, hidden, (p, prefix, y) => {
    const made: { kv?: LayerKv } = {};
    const rows = blockModulation(p, prefix, time);
    const modulation = splitModulation(spread(rows, neutralModulation(config), index, batch));
    return [headBlock(p, prefix, config.head, y, turned, keep(made), modulation), made.kv];
  });
  return {
    tokens: inputs.tokens,
    lengths: tf.fill([batch], length, 'int32'),
    keys: trunk.kv!.keys,
    values: trunk.kv!.values,
    hidden,
    headKeys: head.kv!.keys,
    headValues: head.kv!.values,
  };
}
