import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expectClose } from '@flow-grpo/test-support';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildDemo } from '../../../docs/sampler-demo/build.mjs';
import { browserRun } from './support/browser-run';

let browser: Awaited<ReturnType<typeof launchChromium>>;
let page: Page;
const errors: string[] = [];
const folder = mkdtempSync(join(tmpdir(), 'sampler-demo-'));

beforeAll(async () => {
  browser = await launchChromium();
  page = await browser.context.newPage();
  page.on('pageerror', (error) => errors.push(error.message));
});

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('in Chromium', () => {
  it('the sampler gives the numbers it gives in Node', async () => {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('./browser-entry.ts', import.meta.url))],
      bundle: true,
      format: 'iife',
      platform: 'browser',
      external: ['node-fetch', 'util'],
      logLevel: 'error',
      write: false,
    });
    await page.setContent('<!doctype html><title>sampler</title>');
    await page.addScriptTag({ content: outputFiles[0]!.text });
    const there = await page.evaluate(() =>
      (globalThis as unknown as { runSampler(): ReturnType<typeof browserRun> }).runSampler(),
    );
    const here = await browserRun();
    expectClose(there.final, here.final, 1e-5, 'final');
    expectClose(there.later, here.later, 1e-5, 'asynchronous');
    expectClose(there.logProbs.flat(), here.logProbs.flat(), 1e-5, 'logProbs');
    expect(there.steps).toEqual(here.steps);
    expect(errors).toEqual([]);
  });

  it('the demo page goes from ODE to SDE: different paths, the same distribution', async () => {
    await page.goto(pathToFileURL(await buildDemo(folder)).href);
    await page.waitForSelector('body[data-ready]');
    const runs = async () => Number(await page.getAttribute('body', 'data-ready'));
    const read = async (id: string) => Number.parseFloat((await page.textContent(`#${id}`))!);
    const set = async (id: string, value: string) => {
      const before = await runs();
      await page.$eval(
        `#${id}`,
        (node, to) => {
          (node as HTMLInputElement).value = to;
          node.dispatchEvent(new Event('input', { bubbles: true }));
        },
        value,
      );
      if (id !== 'scrub') expect(await runs()).toBe(before + 1);
    };
    const screenshots = process.env.SAMPLER_DEMO_SCREENSHOTS;
    const shoot = async (name: string) => {
      if (!screenshots) return;
      mkdirSync(screenshots, { recursive: true });
      await page.screenshot({ path: join(screenshots, `${name}.png`) });
    };

    await set('steps', '60');
    const results: { path: number; error: number; trainable: number }[] = [];
    for (const level of ['0', '0.3', '0.7', '1']) {
      await set('noise', level);
      await set('scrub', level === '0.3' ? '0.6' : '1');
      results.push({
        path: await read('path'),
        error: await read('error'),
        trainable: await read('trainable'),
      });
      await shoot(`blobs-${level}`);
    }
    expect(results[0]!.trainable).toBe(0);
    for (const { trainable } of results.slice(1)) expect(trainable).toBe(58);
    for (let i = 1; i < results.length; i++)
      expect(results[i]!.path).toBeGreaterThan(1.2 * results[i - 1]!.path);
    for (const { error } of results) expect(error).toBeLessThan(10);

    for (const data of ['checkerboard', 'ring', 'spiral']) {
      await set('data', data);
      await set('scrub', '1');
      expect(await read('error')).toBeLessThan(12);
      await shoot(data);
    }
    await set('rule', 'cps');
    expect(await read('trainable')).toBe(59);
    await set('rule', 'dance');
    expect(await read('trainable')).toBe(60);

    // The planes are drawn: the canvas changes with the time. Playing is left to people: a browser without a
    // screen may draw no frames by itself.
    const pixels = () => page.$eval('#plane', (node) => (node as HTMLCanvasElement).toDataURL());
    const atData = await pixels();
    expect(await page.textContent('#play')).toBe('Play');
    await set('scrub', '0.5');
    expect(await pixels()).not.toBe(atData);
    expect(await page.textContent('#time')).toBe('0.50');
    await page.click('#play');
    expect(await page.textContent('#play')).toBe('Pause');
    expect(errors).toEqual([]);
  });

  it('the demo page is worked by the keyboard alone', async () => {
    await page.goto(pathToFileURL(await buildDemo(folder)).href);
    await page.waitForSelector('body[data-ready]');
    const reached: string[] = [];
    for (let i = 0; i < 6; i++) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate(() => document.activeElement!.id));
    }
    expect(reached).toEqual(['play', 'scrub', 'noise', 'steps', 'rule', 'data']);

    await page.focus('#noise');
    await page.keyboard.press('Home');
    expect(await page.textContent('#noise-value')).toBe('0.00');
    expect(await page.textContent('#character')).toMatch(/ODE/);
    await page.keyboard.press('ArrowRight');
    expect(await page.textContent('#noise-value')).toBe('0.05');
    await page.focus('#data');
    await page.keyboard.press('r');
    expect(await page.inputValue('#data')).toBe('ring');
    await page.focus('#play');
    await page.keyboard.press('Space');
    expect(await page.textContent('#play')).toBe('Play');
    expect(errors).toEqual([]);
  });

  it.each(['light', 'dark'] as const)('the demo page fits a phone, in %s', async (colorScheme) => {
    const phone = await browser.context.newPage();
    await phone.setViewportSize({ width: 360, height: 780 });
    await phone.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await phone.goto(pathToFileURL(await buildDemo(folder)).href);
    await phone.waitForSelector('body[data-ready]');
    expect(await phone.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    // Who asked for less motion gets the result, and starts the rest by hand.
    expect(await phone.textContent('#play')).toBe('Play');
    expect(await phone.textContent('#time')).toBe('1.00');
    const paper = await phone.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const brightness = Number(/\d+/.exec(paper)![0]);
    if (colorScheme === 'dark') expect(brightness).toBeLessThan(60);
    else expect(brightness).toBeGreaterThan(200);
    await phone.close();
  });
});
