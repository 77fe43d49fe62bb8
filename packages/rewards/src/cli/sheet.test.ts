import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { scoresHtml } from './sheet';

const folder = mkdtempSync(join(tmpdir(), 'sheet-'));
let browser: Awaited<ReturnType<typeof launchChromium>>;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

const LONG = { color_attr_strict_accuracy_of_a_long_name: [-0.012345, 1, 2, 3] };

it('shows every image, best first, and sorts by any detail', async () => {
  const scores = [0.25, Number.NaN, 0.75, 0.5];
  const details = { strict: [1, 0, 0, 1], 'bytes "q95"': [300, 900, Number.NaN, 100], ...LONG };
  const prompts = ['a red circle', 'a <b>bold</b> & "quoted" prompt', 'two blue squares', 'x'.repeat(300)];
  const thumbnails = await Promise.all(
    ['red', 'gray', 'blue', 'green'].map(async (background) => {
      const image = await sharp({ create: { width: 96, height: 64, channels: 3, background } })
        .webp()
        .toBuffer();
      return `data:image/webp;base64,${image.toString('base64')}`;
    }),
  );
  const images = prompts.map((prompt, i) => ({ file: `${i}.png`, prompt }));
  const path = join(folder, 'scores.html');
  writeFileSync(path, scoresHtml({ rewards: ['shapes', 'jpeg=2'], images, scores, details }, thumbnails));

  const page = await browser.context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!/^(file|data):/.test(request.url())) complaints.push(request.url());
  });
  await page.goto(pathToFileURL(path).href);
  const order = () => page.locator('article h2').allTextContents();
  expect(await order()).toEqual(['2.png', '3.png', '0.png', '1.png']);
  expect(await page.title()).toBe('shapes + jpeg=2: 4 images');
  expect(await page.locator('article p').nth(3).textContent()).toBe(prompts[1]);
  await page.getByRole('button', { name: 'bytes "q95"' }).click();
  expect(await order()).toEqual(['1.png', '0.png', '3.png', '2.png']);
  expect(await page.locator('button[aria-pressed=true]').allTextContents()).toEqual(['bytes "q95"']);
  await page.getByRole('button', { name: 'score' }).click();
  expect(await order()).toEqual(['2.png', '3.png', '0.png', '1.png']);
  const widths = await page
    .locator('img')
    .evaluateAll((all: HTMLImageElement[]) =>
      all.map((image) => [image.naturalWidth, image.complete] as const),
    );
  expect(widths).toEqual(new Array(4).fill([96, true]));
  const overflowing = await page
    .locator('article')
    .evaluateAll((all) => all.filter((card) => card.scrollWidth > card.clientWidth).length);
  expect(overflowing, 'cards with more in them than fits their width').toBe(0);
  expect(complaints).toEqual([]);
  await page.close();
});
