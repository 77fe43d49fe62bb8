import '@flow-grpo/tfjs-backend-xla';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Params } from '@flow-grpo/nn';
import { productTypes } from '@flow-grpo/test-support/product-types';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blipReward } from './blip/reward';
import { clipConfig } from './clip/config';
import { fromOpenClip, openClipConfig } from './clip/open-clip';
import { clipText, clipVision, textInput } from './clip/towers';
import { loadWeights } from './load/source';
import { writeTinyBlip, writeTinyClip, writeTinyHps } from './scorers/tiny-models.testing';

const root = mkdtempSync(join(tmpdir(), 'low-precision-'));
beforeAll(() => tf.setBackend('xla'));
afterAll(() => rmSync(root, { recursive: true }));

const load = (path: string) => loadWeights(path, { filter: () => true, dtype: 'bfloat16' });

/** What an accelerator is given, which takes its speed from products of bfloat16: none may be wider. */
describe('programs of models held in bfloat16', () => {
  it('of CLIP multiply bfloat16 throughout', async () => {
    const { config: json } = await writeTinyClip(root);
    const params = await load(root);
    const config = clipConfig(json);
    const side = config.vision.imageSize;
    const vision = jit((w: Params, x: tf.Tensor) => clipVision(w, config.vision, x).features);
    expect(productTypes(vision.lower(params, tf.zeros([2, side, side, 3])).text)).toEqual(['bf16 × bf16']);
    const { ids, ends } = textInput([[1, 3, 4, 2]], config.text.eosTokenId);
    const text = jit(
      (w: Params, rows: tf.Tensor2D, at: tf.Tensor1D) =>
        clipText(w, config.text, { ids: rows, ends: at }).features,
    );
    expect(productTypes(text.lower(params, ids, ends).text)).toEqual(['bf16 × bf16']);
  });

  it("of HPSv2's open_clip too, through the renaming", async () => {
    const config = openClipConfig(await writeTinyHps(root));
    const params = fromOpenClip(await load(join(root, 'model.safetensors')));
    const side = config.vision.imageSize;
    const vision = jit((w: Params, x: tf.Tensor) => clipVision(w, config.vision, x).features);
    expect(productTypes(vision.lower(params, tf.zeros([2, side, side, 3])).text)).toEqual(['bf16 × bf16']);
  });

  it('of ImageReward too', async () => {
    const config = await writeTinyBlip(root);
    const params = await loadWeights(join(root, 'model.safetensors'), {
      filter: (name) => /^(blip\.(visual|text)_encoder|mlp)\./.test(name),
      dtype: 'bfloat16',
    });
    const side = config.vision.imageSize;
    const reward = jit((w: Params, x: tf.Tensor, ids: tf.Tensor2D, mask: tf.Tensor2D) =>
      blipReward(w, config, x, { ids, mask }),
    );
    const { text } = reward.lower(
      params,
      tf.zeros([2, side, side, 3]),
      tf.zeros([2, 8], 'int32'),
      tf.ones([2, 8]),
    );
    expect(productTypes(text)).toEqual(['bf16 × bf16']);
  });
});
