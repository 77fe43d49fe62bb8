import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureCases, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { encodeJpeg, quantise, rgbImages } from '../images';
import { jpegCompressibility, jpegIncompressibility } from './jpeg-size';

interface JpegCase {
  rows: {
    image: string;
    bytes_q95: number;
    incompressibility: number;
    compressibility: number;
    sha256_q95: string;
    sha256_default_quality: string;
  }[];
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe.each(fixtureCases('rewards-jpeg'))('$name', ({ dir }) => {
  const { rows } = readJson<JpegCase>(dir, 'jpeg.json');
  const files = rows.map((row) => ({ bytes: readFileSync(join(dir, 'images', `${row.image}.png`)) }));
  const prompts = rows.map(() => '');
  const metadata = rows.map(() => ({}));

  it('scores every picture as the reference does, to the byte', async () => {
    const plain = await jpegCompressibility().score(files, prompts, metadata);
    const busy = await jpegIncompressibility().score(files, prompts, metadata);
    expect(plain.details.bytes).toEqual(rows.map((row) => row.bytes_q95));
    expect(plain.scores).toEqual(rows.map((row) => row.compressibility));
    expect(busy.scores).toEqual(rows.map((row) => row.incompressibility));
  });

  it('writes the very files of Pillow at quality 95 and 75', async () => {
    const pictures = await rgbImages(files);
    for (const [i, row] of rows.entries()) {
      expect(sha256(await encodeJpeg(pictures[i]!, 95)), row.image).toBe(row.sha256_q95);
      expect(sha256(await encodeJpeg(pictures[i]!)), row.image).toBe(row.sha256_default_quality);
    }
  });

  it('gives a tensor the score of its file', async () => {
    const [picture] = await rgbImages([files.at(-1)!]);
    const { data, width, height } = picture!;
    const image = tf.tensor4d(
      Float32Array.from(data, (v) => v / 255),
      [1, height, width, 3],
    );
    const { scores } = await jpegIncompressibility().score(image, [''], [{}]);
    expect(scores).toEqual([rows.at(-1)!.incompressibility]);
    image.dispose();
  });

  it('rounds floats to bytes as the reference does, in float32 and bfloat16', () => {
    const tensors = readTensors(dir, 'to-uint8.safetensors');
    const values = (name: string) => Array.from(tensors[name]!.data as ArrayLike<number>);
    expect(Array.from(quantise(values('in.float32')))).toEqual(values('out.uint8'));
    expect(Array.from(quantise(values('in.bfloat16_as_float32'), 'bfloat16'))).toEqual(
      values('out.uint8_from_bfloat16'),
    );
  });
});
