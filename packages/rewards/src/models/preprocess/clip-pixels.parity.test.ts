import '@flow-grpo/tfjs-backend-xla';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  expectClose,
  fixtureCases,
  maxAbsDiff,
  numbers,
  readJson,
  readTensors,
} from '@flow-grpo/test-support';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RgbImage, rgbImages } from '../../images';
import { normalizeBytes, resizeAndCrop } from './clip-pixels';
import { shorterEdgeSize } from './crop';
import { deviceClipPixels, deviceResizeAndCrop } from './device-pixels';
import { pillowResize } from './pillow-resize';

interface Row {
  image: string;
  shortest_edge: number;
  crop: number;
  resized_width: number;
  resized_height: number;
}
interface Description {
  mean: number[];
  std: number[];
  rows: Row[];
}

const cases = fixtureCases('rewards-clip').filter(({ dir }) => readdirSync(dir).includes('preprocess.json'));
if (cases.length === 0) throw new Error('No rewards-clip case has a preprocess.json.');

for (const { name, dir } of cases) {
  describe(`CLIP preprocessing, ${name}`, () => {
    const { mean, std, rows } = readJson<Description>(dir, 'preprocess.json');
    const tensors = readTensors(dir, 'preprocess.safetensors');
    const pictures: Record<string, RgbImage> = {};
    beforeAll(async () => {
      expect(await tf.setBackend('xla'), 'a PJRT plugin is installed').toBe(true);
      for (const file of readdirSync(join(dir, 'preprocess'))) {
        const [picture] = await rgbImages([{ bytes: readFileSync(join(dir, 'preprocess', file)) }]);
        pictures[file.replace(/\.png$/, '')] = picture!;
      }
    });

    afterAll(() => tf.setBackend('cpu'));

    it.each(rows)('$image to $shortest_edge, crop $crop, on the host and on the device', async (row) => {
      const picture = pictures[row.image]!;
      const key = `${row.shortest_edge}-${row.crop}.${row.image}`;
      const options = { edge: row.shortest_edge, crop: row.crop, mean, std };
      const size = shorterEdgeSize(picture.width, picture.height, row.shortest_edge);
      expect(size).toEqual([row.resized_width, row.resized_height]);
      const whole = tensors[`resized_u8.${key}`];
      if (whole) {
        expect(maxAbsDiff(pillowResize(picture, ...size).data, numbers(whole))).toBe(0);
      }
      const bytes = resizeAndCrop(picture, options);
      expect(maxAbsDiff(bytes.data, numbers(tensors[`resized_cropped_u8.${key}`]!))).toBe(0);
      const shape: [number, number, number, number] = [1, picture.height, picture.width, 3];
      const images = tf.tensor4d(
        Float32Array.from(picture.data, (byte) => byte / 255),
        shape,
      );
      const onDevice = await jit(deviceResizeAndCrop)(images, options).data();
      expect(maxAbsDiff(onDevice, numbers(tensors[`resized_cropped_u8.${key}`]!))).toBe(0);
      const pixels = tensors[`pixel_values.${key}`];
      if (!pixels) return;
      const planes = numbers(pixels);
      const area = row.crop * row.crop;
      const interleaved = Float32Array.from(
        { length: planes.length },
        (_, i) => planes[(i % 3) * area + Math.floor(i / 3)]!,
      );
      expectClose(normalizeBytes(bytes, mean, std), interleaved, 1e-6, key);
      expectClose(await jit(deviceClipPixels)(images, options).data(), interleaved, 1e-6, key);
    });
  });
}
