import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { overflow, seriousFaults } from '@flow-grpo/test-support/accessibility';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scoresHtml } from './sheet';

const LONG = { color_attr_strict_accuracy_of_a_long_name: [-0.012345, 1, 2, 3] };
const PROMPTS = [
  'a red circle',
  'a <b>bold</b> & "quoted" </script> prompt',
  'two blue squares',
  'x'.repeat(300),
];

describe('the page of scores', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sheet-'));
  const complaints: string[] = [];
  let browser: Awaited<ReturnType<typeof launchChromium>>;
  let page: Page;

  beforeAll(async () => {
    const scores = [0.25, Number.NaN, 0.75, 0.5];
    const details = { strict: [1, 0, 0, 1], 'bytes "q95"': [300, 900, Number.NaN, 100], ...LONG };
    const thumbnails = await Promise.all(
      ['red', 'gray', 'blue', 'green'].map(async (background) => {
        const image = await sharp({ create: { width: 96, height: 64, channels: 3, background } })
          .webp()
          .toBuffer();
        return `data:image/webp;base64,${image.toString('base64')}`;
      }),
    );
    const images = PROMPTS.map((prompt, i) => ({
      file: `${i}.png`,
      prompt,
      metadata: { tag: i < 2 ? 'single_object' : 'counting' },
    }));
    const path = join(folder, 'scores.html');
    const html = await scoresHtml({ rewards: ['shapes', 'jpeg=2'], images, scores, details }, thumbnails);
    writeFileSync(path, html);
    browser = await launchChromium();
    page = await browser.context.newPage();
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) complaints.push(request.url());
    });
    await page.goto(pathToFileURL(path).href);
    await page.waitForSelector('#overview .plot canvas');
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  const texts = (selector: string) => page.locator(selector).allTextContents();
  const order = async () =>
    (await page.$$eval('#images .open', (all) => all.map((each) => each.getAttribute('aria-label')))).map(
      (label) => label!.replace('Enlarge: ', ''),
    );

  it('shows every image, best first, and sorts by any detail', async () => {
    expect(await order()).toEqual(['2.png', '3.png', '0.png', '1.png']);
    expect(await page.title()).toBe('shapes + jpeg=2: 4 images');
    expect(await texts('.tile .verdict')).toEqual(['0.5', '0.25 – 0.75', '4']);
    expect((await texts('#images figcaption span')).at(3)).toBe(PROMPTS[1]);
    await page.getByLabel('Look at').selectOption('bytes "q95"');
    expect(await order()).toEqual(['1.png', '0.png', '3.png', '2.png']);
    await page.getByRole('button', { name: 'lowest first' }).click();
    expect(await order()).toEqual(['3.png', '0.png', '1.png', '2.png']);
    await page.getByLabel('Look at').selectOption('score');
    expect(await order()).toEqual(['2.png', '3.png', '0.png', '1.png']);
    const widths = await page
      .locator('#images img')
      .evaluateAll((all: HTMLImageElement[]) =>
        all.map((image) => [image.naturalWidth, image.complete] as const),
      );
    expect(widths).toEqual(new Array(4).fill([96, true]));
  });

  it('searches, and has means by kind and by prompt', async () => {
    await page.locator('body').press('/');
    await page.keyboard.type('SQUARES blue');
    await expect.poll(order, { timeout: 600_000 }).toEqual(['2.png']);
    await page.getByLabel('Search prompts').fill('');
    await expect.poll(order, { timeout: 600_000 }).toHaveLength(4);
    expect(await texts('#prompts caption')).toEqual(['By kind (2)', 'By prompt (4)']);
    const rows = await page.$$eval('#prompts table:first-of-type tbody tr', (all) =>
      all.map((row) => [...row.children].map((cell) => cell.textContent)),
    );
    expect(rows.slice(0, 2)).toEqual([
      ['counting 2 images', '0.6250', '0.5000', '0.7500'],
      ['single object 2 images', '0.2500', '0.2500', '0.2500'],
    ]);
  });

  it('enlarges an image with every number of it, and goes to the next by keys', async () => {
    await page.getByRole('button', { name: 'Enlarge: 3.png' }).click();
    await page.waitForSelector('dialog[open]');
    expect(await texts('dialog tr')).toEqual([
      'file3.png',
      'score0.5',
      'strict1',
      'bytes "q95"100',
      'color_attr_strict_accuracy_of_a_long_name3',
    ]);
    await page.keyboard.press('ArrowDown');
    expect(await page.locator('dialog tr').first().textContent()).toBe('file0.png');
    await page.keyboard.press('Escape');
    await expect.poll(() => page.locator('dialog').count(), { timeout: 600_000 }).toBe(0);
  });

  it.each([
    ['light', 1200],
    ['dark', 390],
  ] as const)('is accessible in %s at %i pixels', async (colorScheme, width) => {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width, height: 860 });
    await page.waitForFunction((theme) => document.documentElement.dataset.theme === theme, colorScheme);
    expect(await overflow(page)).toBe(0);
    expect(await seriousFaults(page)).toEqual([]);
    const overflowing = await page
      .locator('#images figure')
      .evaluateAll((all) => all.filter((card) => card.scrollWidth > card.clientWidth).length);
    expect(overflowing, 'cards with more in them than fits their width').toBe(0);
    expect(complaints).toEqual([]);
  });
});
