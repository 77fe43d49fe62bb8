import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { expectClose, fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { rgbImages } from '../../images';
import { fromOpenClip, type OpenClipConfig, openClipConfig } from '../clip/open-clip';
import { normalized, pairedCosine } from '../clip/similarity';
import { clipText, clipVision, textInput } from '../clip/towers';
import {
  CLIP_MEAN,
  CLIP_STD,
  clipPixels,
  deviceClipPixels,
  deviceTensorPixels,
  type TensorResize,
  tensorPixels,
} from '../preprocess';
import { hpsv2 } from './hpsv2';
import { letterTokenizer, writeJson } from './tiny-models.testing';

interface Description {
  config: OpenClipConfig;
  /** How far two float32 runs of this very case may differ: ten times this is allowed. */
  float32_vs_float64: Record<string, { max_abs: number }>;
  ids: { start: number; end: number };
  preprocess: { image: string }[];
}

const files = fixtureCases('rewards-hps').flatMap(({ name, dir }) =>
  readdirSync(dir)
    .filter((file) => file.endsWith('.json'))
    .map((file) => ({ name: `${name}/${file}`, dir, file })),
);
if (files.length === 0) throw new Error('No rewards-hps case.');

describe.each(files)('HPSv2, $name', ({ dir, file }) => {
  const description = readJson<Description>(dir, file);
  const measured = (name: string) => 10 * (description.float32_vs_float64[name]?.max_abs ?? 0);
  const tensors = readTensors(dir, file.replace('.json', '.safetensors'));
  const channelsLast = (name: string) => {
    const { shape } = tensors[name]!;
    const planes = tf.tensor(numbers(tensors[name]!), shape);
    return tf.transpose(planes, shape.length === 4 ? [0, 2, 3, 1] : [1, 2, 0]);
  };
  const stored = () => {
    const weights: Record<string, tf.Tensor> = {};
    for (const [name, { shape, data }] of Object.entries(tensors)) {
      if (name.startsWith('weights.')) weights[name.slice(8)] = tf.tensor(data as Float32Array, shape);
    }
    return weights;
  };

  it('gives the features and scores of open_clip through transformers names', () => {
    const params = fromOpenClip(stored());
    const config = openClipConfig(description.config);
    const images = clipVision(params, config.vision, channelsLast('in.pixel_values')).features;
    const ids = tensors['in.input_ids']!;
    const length = ids.shape[1]!;
    const flat = numbers(ids);
    const rows = Array.from({ length: ids.shape[0]! }, (_, i) => flat.slice(i * length, (i + 1) * length));
    const texts = clipText(params, config.text, textInput(rows, config.text.eosTokenId)).features;
    const check = (x: tf.Tensor, name: string, limit: number) =>
      expectClose(x.dataSync(), numbers(tensors[`out.${name}`]!), Math.max(limit, measured(name)), name);
    check(images, 'image_features_raw', 5e-5);
    check(texts, 'text_features_raw', 3e-5);
    check(normalized(images), 'image_features', 1e-5);
    check(normalized(texts), 'text_features', 5e-6);
    check(tf.matMul(normalized(images), normalized(texts), false, true), 'similarity', 1e-5);
    check(pairedCosine(images, texts), 'hps', 4e-6);
  });

  it.each(description.preprocess)('preprocesses $image in its three ways', async ({ image }) => {
    const picture = await rgbImages([{ bytes: readFileSync(join(dir, 'preprocess', `${image}.png`)) }]);
    const { data, height, width } = picture[0]!;
    const images = tf.tensor4d(
      Float32Array.from(data, (byte) => byte / 255),
      [1, height, width, 3],
    );
    const size = description.config.vision_cfg.image_size;
    const options = { edge: size, crop: size, mean: CLIP_MEAN, std: CLIP_STD, rounding: 'even' as const };
    const check = (x: tf.Tensor, name: string, limit: number) =>
      expectClose(x.dataSync(), channelsLast(`preprocess.${name}.${image}`).dataSync(), limit, name);
    check(clipPixels(picture, options), 'pil', 1e-6);
    check(deviceClipPixels(images, options), 'pil', 1e-6);
    for (const resize of ['antialias', 'plain'] satisfies TensorResize[]) {
      check(tensorPixels(picture, options, resize), `tensor_${resize}`, 1e-5);
      check(deviceTensorPixels(images, options, resize), `tensor_${resize}`, 1e-5);
    }
  });

  it('loads a checkpoint file and scores prompts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tiny-hps-'));
    const path = join(folder, 'hps.safetensors');
    await saveSafetensors(path, stored());
    writeJson(folder, 'tokenizer.json', letterTokenizer(description.ids.start, description.ids.end));
    const before = tf.memory().numTensors;
    const scorer = await hpsv2({ model: path, processor: folder, config: description.config });
    const images = tf.randomUniform([2, 40, 48, 3], 0, 1, 'float32', 3) as tf.Tensor4D;
    const { scores } = await scorer.score(images, ['cat', 'dog'], [{}, {}]);
    const other = await scorer.score(images, ['cat', 'cat'], [{}, {}]);
    expect(other.scores[0]).toBeCloseTo(scores[0]!, 6);
    expect(other.scores[1]).not.toBeCloseTo(scores[1]!, 4);
    const repaired = await scorer.score(images, ['ｃａｔ', '&#100;og'], [{}, {}]);
    expect(repaired.scores).toEqual(scores);
    scorer.dispose();
    const whole = Object.entries(stored()).map(([name, x]) => [`state_dict.module.${name}`, x] as const);
    const optimizer = { 'optimizer.state.0.exp_avg': tf.zeros([2]) };
    await saveSafetensors(path, { ...Object.fromEntries(whole), ...optimizer });
    tf.dispose([whole.map(([, x]) => x), optimizer]);
    const trained = await hpsv2({ model: path, processor: folder, config: description.config });
    expect((await trained.score(images, ['cat', 'dog'], [{}, {}])).scores).toEqual(scores);
    trained.dispose();
    images.dispose();
    expect(tf.memory().numTensors).toBe(before);
    rmSync(folder, { recursive: true });
  });
});
