import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { ocr } from './ocr';

interface OcrCase {
  images: {
    file: string;
    prompt: string;
    /** How it is drawn; size, font and colours leave a picture clean. */
    look: { noise?: number; rotate?: number; back?: string };
  }[];
}

const mean = (scores: number[]) => scores.reduce((sum, score) => sum + score, 0) / scores.length;

describe.each(fixtureCases('rewards-ocr'))('$name', ({ dir }) => {
  const { images } = readJson<OcrCase>(dir, 'ocr.json');

  it('reads the rendered pictures: a mean of at least 0.9 on the clean ones', async () => {
    const { scores } = await ocr().score(
      images.map(({ file }) => ({ bytes: readFileSync(join(dir, file)) })),
      images.map(({ prompt }) => prompt),
      images.map(() => ({})),
    );
    const listed = images.map(({ file }, i) => `${file} ${scores[i]!.toFixed(3)}`).join(', ');
    if (process.env.OCR_SCORES) console.info(listed);
    const clean = scores.filter((_, i) => {
      const { noise, rotate, back } = images[i]!.look;
      return !noise && !rotate && !back;
    });
    expect(clean.length).toBeGreaterThan(0);
    expect(mean(clean), listed).toBeGreaterThanOrEqual(0.9);
    expect(mean(scores), listed).toBeGreaterThanOrEqual(0.75);
  });
});
