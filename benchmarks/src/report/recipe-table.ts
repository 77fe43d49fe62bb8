/** The recipe in its variants, as a table of a document. */
import { readFileSync, writeFileSync } from 'node:fs';
import { RECIPE_VARIANTS } from '../sections/recipe-variants';
import type { Results } from './results';

const MARKS = ['<!-- recipe variants -->', '<!-- end of recipe variants -->'] as const;

/** A row for each variant that was measured. */
export function recipeTable({ measurements, machine }: Pick<Results, 'measurements' | 'machine'>): string {
  const rows = Object.entries({ one: 'the recipe', ...labels() }).flatMap(([name, label]) => {
    const found = measurements.findLast((each) => each.engine === 'ours' && each.case === `recipe.${name}`);
    if (!found) return [];
    const { ms, imagesPerSecond, peakGiB } = found as Record<string, unknown>;
    const number = (value: unknown) => (typeof value === 'number' ? `${value}` : '');
    return [`| ${label} | ${number(Number(ms) / 1000)} | ${number(imagesPerSecond)} | ${number(peakGiB)} |`];
  });
  const heading = [
    '| variant | seconds per epoch | images per second | peak GiB |',
    '| --- | --- | --- | --- |',
  ];
  return `${[`On one ${machine.gpu ?? machine.cpu}, 64 images per epoch:`, '', ...heading, ...rows].join('\n')}\n`;
}

const labels = () =>
  Object.fromEntries(Object.entries(RECIPE_VARIANTS).map(([name, { label }]) => [name, label]));

/**
 * Puts the table between the marks of a document.
 *
 * @throws when it has none.
 */
export function writeRecipeTable(file: string, results: Results): void {
  const text = readFileSync(file, 'utf8');
  const [start, end] = MARKS.map((mark) => text.indexOf(mark)) as [number, number];
  if (start < 0 || end < start) throw new Error(`${file} has no lines ${MARKS.join(' and ')}`);
  const table = recipeTable(results);
  writeFileSync(file, `${text.slice(0, start + MARKS[0].length)}\n\n${table}\n${text.slice(end)}`);
}
