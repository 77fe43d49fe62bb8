import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { quotedTarget, textScore } from './text-score';

type Lines = [string, number][] | null;
interface OcrCase {
  rows: { prompt: string; lines: Lines; target: string; text: string; distance: number; score: number }[];
  errors: { prompt: string; lines: Lines }[];
}

describe.each(fixtureCases('rewards-ocr'))('$name', ({ dir }) => {
  const { rows, errors } = readJson<OcrCase>(dir, 'ocr.json');

  it.each(rows)('scores $prompt with $lines', ({ prompt, lines, target, text, distance, score }) => {
    expect(quotedTarget(prompt)).toBe(target);
    const read = (lines ?? []).map(([line, confidence]) => ({ text: line, confidence }));
    expect(textScore(target, read)).toEqual({ score, distance, text });
  });

  it.each(errors)('refuses $prompt, on which the reference fails', ({ prompt }) => {
    expect(() => quotedTarget(prompt)).toThrow('straight quotation marks');
  });
});
