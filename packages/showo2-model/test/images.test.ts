import { readFileSync } from 'node:fs';
import { maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { coverCrop } from '../src/pipeline/images';

/** Pillow 10.4: `resize(…, BICUBIC)` to the covering size and `crop` of the middle, over the picture below. */
const cases: { source: [number, number]; target: [number, number]; bytes: number[] }[] = JSON.parse(
  readFileSync(new URL('./cover-crop.json', import.meta.url), 'utf8'),
);

/** Slopes that wrap around and hard checks, so that the filter overshoots. */
function picture([height, width]: [number, number]): tf.Tensor3D {
  const bytes: number[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const check = (Math.floor(x / 2) + Math.floor(y / 3)) % 2 ? 255 : 0;
      bytes.push((x * 37 + y * 91) % 256, (x * x * 5 + y * 13) % 256, check);
    }
  }
  return tf.div(tf.tensor3d(bytes, [height, width, 3]), 255) as tf.Tensor3D;
}

it.each(cases)('coverCrop of $source to $target is Pillow’s', ({ source, target, bytes }) => {
  const made = coverCrop(picture(source), ...target);
  expect(made.shape).toEqual([...target, 3]);
  const levels = tf.round(tf.mul(made, 255)).dataSync();
  expect(maxAbsDiff(levels, bytes)).toBeLessThanOrEqual(1);
  const same = bytes.filter((byte, i) => byte === levels[i]).length;
  expect(same / bytes.length).toBeGreaterThan(0.97);
});
