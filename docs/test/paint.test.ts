import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@flow-grpo/tfjs-jit/gradients';
import '@tensorflow/tfjs-backend-cpu';
import { overflow, seriousFaults } from '@flow-grpo/test-support/accessibility';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import * as tf from '@tensorflow/tfjs-core';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPaintPage } from '../paint-a-reward/build.mjs';
import { exactVelocity } from '../paint-a-reward/flow';
import { EXTENT, pointsOf, ring } from '../paint-a-reward/plane';
import { CELLS, emptyMap, mapOf, paint, presets, rewardAt } from '../paint-a-reward/reward-map';
import { tune } from '../paint-a-reward/tune';
import { exactVelocity as exactOnHost } from '../sampler-demo/mixture';
import { serveSite } from './serve';

beforeAll(() => tf.setBackend('cpu'));

describe('the flow in the plane', () => {
  it('starts from the exact velocity of its ring', () => {
    const x = tf.tensor2d([0.3, -1.2, 2, 0.1, 0, 0], [3, 2]);
    const time = 0.6;
    const mixture = { centres: ring.centres.map(([a, b]): [number, number] => [a, b]), std: ring.std };
    const expected = exactOnHost(mixture)(x, tf.tensor1d([time]), { time } as never);
    const found = exactVelocity(ring, x, tf.fill([3], time));
    tf.test_util.expectArraysClose(found.dataSync(), (expected as tf.Tensor).dataSync(), 1e-4);
  });

  it('has points to show before there is a model', () => {
    const points = pointsOf(ring, 64);
    expect(points).toHaveLength(128);
    const radii = Array.from({ length: 64 }, (_, i) => Math.hypot(points[2 * i]!, points[2 * i + 1]!));
    expect(radii.reduce((a, b) => a + b) / 64).toBeCloseTo(1.5, 1);
    for (const radius of radii) expect(radius).toBeLessThan(EXTENT);
    expect(new Set(points).size).toBe(128);
  });

  it('is tuned to where reward is, and leaves no tensors', async () => {
    const before = tf.memory().numTensors;
    const seen: { epoch: number; reward: number }[] = [];
    const map = mapOf(presets.right!);
    await tune({
      algorithm: 'grpo',
      learningRate: 0.01,
      map: () => map,
      epochs: 8,
      onPoints: ({ epoch, reward }) => seen.push({ epoch, reward }),
    });
    expect(seen.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(seen[0]!.reward).toBeCloseTo(0.5, 1);
    expect(seen.at(-1)!.reward).toBeGreaterThan(seen[0]!.reward + 0.1);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('has rewards where they are painted', () => {
    const map = emptyMap();
    paint(map, 1, -2, 0.5, 0.8);
    expect(rewardAt(map, 1, -2)).toBeGreaterThan(0.7);
    expect(rewardAt(map, -1, 2)).toBe(0);
    expect(rewardAt(map, 9, 0)).toBe(0);
    for (let i = 0; i < 5; i++) paint(map, 1, -2, 0.5, -0.8);
    expect(rewardAt(map, 1, -2)).toBe(-1);
    expect(map).toHaveLength(CELLS * CELLS);
  });
});

describe('the page', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flow-grpo-paint-'));
  let browser: Awaited<ReturnType<typeof launchChromium>>;
  let site: Awaited<ReturnType<typeof serveSite>>;
  let page: Page;
  const errors: string[] = [];
  beforeAll(async () => {
    await buildPaintPage(folder);
    site = await serveSite(folder, '/');
    browser = await launchChromium();
    page = await browser.context.newPage();
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`${site.url}index.html`);
  });
  afterAll(async () => {
    await browser?.close();
    site?.server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('shows itself before the trainer is there', () => {
    expect(readFileSync(join(folder, 'main.js')).length).toBeLessThan(300_000);
  });

  it('tunes the model while the reader paints', async () => {
    await page.waitForSelector('body[data-ready]');
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByText('Press Tune to see how the mean reward changes.').waitFor();
    const plane = (await page.locator('#plane').boundingBox())!;
    const at = (x: number, y: number) => [plane.x + plane.width * x, plane.y + plane.height * y] as const;
    await page.getByRole('button', { name: 'Tune' }).click();
    await page.waitForSelector('body[data-epoch]');
    expect(await page.locator('#no-curve').isVisible()).toBe(false);
    await page.mouse.move(...at(0.75, 0.4));
    await page.mouse.down();
    for (const y of [0.45, 0.5, 0.55, 0.6]) await page.mouse.move(...at(0.75, y), { steps: 4 });
    await page.mouse.up();
    // Some of the ring lies under the brush.
    await page.waitForFunction(() => Number(document.body.dataset.reward) > 0.03);
    const started = await page.evaluate(() => Number(document.body.dataset.reward));
    await page.waitForFunction((reward) => Number(document.body.dataset.reward) > reward + 0.03, started);
    const screenshots = process.env.UI_SCREENSHOTS;
    if (screenshots) await page.screenshot({ path: join(screenshots, 'paint.png'), fullPage: true });
    await page.getByLabel('Algorithm').selectOption('nft'); // starts anew
    await page.waitForFunction(() => document.body.dataset.epoch === '0');
    await page.getByRole('button', { name: 'Stop' }).click();
    expect(errors).toEqual([]);
  });

  it.each([
    ['light', 1200],
    ['dark', 390],
  ] as const)('is accessible in %s at %i pixels', async (colorScheme, width) => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 860 });
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    expect(await overflow(page)).toBe(0);
    const screenshots = process.env.UI_SCREENSHOTS;
    if (screenshots)
      await page.screenshot({ path: join(screenshots, `paint-${colorScheme}-${width}.png`), fullPage: true });
    expect(await seriousFaults(page)).toEqual([]);
  });
});
