import { expect, it } from 'vitest';
import { withoutPaths } from './paths';

it.each([
  ['report: /home/jo/runs/first/report.html', 'report: …/report.html'],
  ['{ "model": "/data/models/show-o2" }', '{ "model": "…/show-o2" }'],
  ['C:\\Users\\jo\\runs\\first', '…/first'],
  ['~/runs/first is saved', '…/first is saved'],
  ['saved (/tmp/a/b)', 'saved (…/b)'],
])('%j is shown as %j', (text, shown) => {
  expect(withoutPaths(text)).toBe(shown);
});

it.each([
  'epoch 3/10  rollout 1/5  12 images/s',
  'https://example.com/a/b',
  'showlab/show-o2-1.5B',
  'a red/blue square',
  'runs/first',
])('%j stays', (text) => {
  expect(withoutPaths(text)).toBe(text);
});
