import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { ocr } from './ocr';

interface OcrCase {
  images: { file: string; prompt: string }[];
}

describe.each(fixtureCases('rewards-ocr'))('$name', ({ dir }) => {
  const { images } = readJson<OcrCase>(dir, 'ocr.json');

  it('reads the rendered pictures: mean score of at least 0.9', async () => {
    const { scores } = await ocr().score(
      images.map(({ file }) => ({ bytes: readFileSync(join(dir, file)) })),
      images.map(({ prompt }) => prompt),
      images.map(() => ({})),
    );
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    const listed = images.map(({ file }, i) => `${file} ${scores[i]!.toFixed(3)}`).join(', ');
    if (process.env.OCR_SCORES) console.info(listed);
    expect(mean, listed).toBeGreaterThanOrEqual(0.9);
  }, 120_000);
});
