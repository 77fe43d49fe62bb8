import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { overflow, scrollThrough, seriousFaults } from '@flow-grpo/test-support/accessibility';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeRunReport } from '../report/run-report';
import { pageAssets } from './assets';
import { writeMadeUpRun } from './testing/made-up-run';

/** Pictures of every state go there when it is set, to be looked at. */
const SCREENSHOTS = process.env.UI_SCREENSHOTS;

let folder: string;
let browser: Awaited<ReturnType<typeof launchChromium>>;
let page: Page;
const problems: string[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'page-'));
  await writeMadeUpRun(join(folder, 'shapes'), { epochs: 60, evaluations: 7, side: 48 });
  await writeMadeUpRun(join(folder, 'shapes-slow'), {
    epochs: 40,
    evaluations: 3,
    side: 48,
    seed: 2,
    plannedEpochs: 100,
  });
  browser = await launchChromium();
  page = await browser.context.newPage();
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('request', (request) => {
    if (!/^(file|data):/.test(request.url())) problems.push(request.url());
  });
});
afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true });
});

async function open(file: string): Promise<void> {
  await page.goto(pathToFileURL(file).href);
  await page.waitForSelector('#overview .plot canvas');
}

const shot = async (name: string, fullPage = true) => {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage });
};

describe('a run as files', () => {
  it('shows everything without a server', async () => {
    await open(await writeRunReport(join(folder, 'shapes')));
    await scrollThrough(page);
    const body = await page.evaluate(() => document.body.innerText);
    for (const part of [
      'Learning',
      'Finished',
      'KL to the reference',
      'Advantages',
      'Ratio by timestep',
      'drawing images',
      'a red square',
      'squares',
    ]) {
      expect(body).toContain(part);
    }
    expect(body).not.toContain('/home');
    const size = await page.$eval('#images img', (image) => (image as HTMLImageElement).naturalHeight);
    expect(size).toBe(16 * 48);
    expect(problems).toEqual([]);
  });

  it('has at most 300 kB of script before its data', async () => {
    const { script, style } = await pageAssets();
    expect(Buffer.byteLength(script) + Buffer.byteLength(style)).toBeLessThan(300_000);
  });

  it.each([
    ['light', 1200],
    ['dark', 1200],
    ['light', 390],
    ['dark', 390],
  ] as const)('is accessible in %s at %i pixels', async (colorScheme, width) => {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width, height: 860 });
    await open(await writeRunReport(join(folder, 'shapes')));
    await page.waitForFunction((theme) => document.documentElement.dataset.theme === theme, colorScheme);
    await scrollThrough(page);
    await shot(`${colorScheme}-${width}`);
    expect(await overflow(page)).toBe(0);
    expect(await seriousFaults(page)).toEqual([]);
    await page.getByRole('button', { name: /^Enlarge: a blue circle/ }).click();
    await page.waitForSelector('dialog[open]');
    await shot(`enlarged-${colorScheme}-${width}`, false);
    expect(await overflow(page)).toBe(0);
    expect(await seriousFaults(page)).toEqual([]);
    await page.setViewportSize({ width: 1200, height: 860 });
    await page.emulateMedia({ colorScheme: 'light' });
  });

  it('goes through epochs, compares, orders and searches', async () => {
    await open(await writeRunReport(join(folder, 'shapes')));
    const captions = () =>
      page.$$eval('#images li figcaption span', (all) => all.map((each) => each.textContent));
    const sources = () =>
      page.$$eval('#images img', (all) => [...new Set(all.map((image) => image.getAttribute('src')))]);
    expect(await sources()).toEqual(['samples/epoch-000060.png']);
    await page.keyboard.press('[');
    expect(await sources()).toEqual(['samples/epoch-000050.png']);
    const slider = page.getByRole('slider', { name: 'Evaluation' });
    await slider.focus();
    await page.keyboard.press('Home');
    expect(await sources()).toEqual(['samples/epoch-000000.png']);
    await page.keyboard.press('End');

    await page.getByLabel('Order').selectOption('worst');
    expect((await captions())[0]).toBe('a red square');
    await page.getByLabel('Order').selectOption('best');
    expect((await captions())[0]).toBe('a yellow cross');
    await page.getByLabel('Order').selectOption('changed');
    expect((await captions())[0]).toBe('a blue circle'); // the made-up change of the tenth is the largest

    await page.locator('body').press('/');
    await page.keyboard.type('red CIRCLE');
    await expect.poll(captions, { timeout: 600_000 }).toEqual(['a red circle']);
    await page.getByLabel('Search prompts').fill('');
    await page.getByLabel('Kind').selectOption('circles');
    await expect.poll(captions, { timeout: 600_000 }).toHaveLength(4);
    await page.getByLabel('Kind').selectOption('');
  });

  it('flickers between before and after in one place', async () => {
    await open(await writeRunReport(join(folder, 'shapes')));
    await page.getByRole('button', { name: 'flicker' }).click();
    const shown = () => page.$eval('#images .pair', (pair) => pair.getAttribute('data-shown'));
    const seen = new Set<string | null>();
    while (seen.size < 2) seen.add(await shown());
    const boxes = await page.$$eval('#images li:first-child .pair img', (all) =>
      all.map((image) => image.getBoundingClientRect().left),
    );
    expect(boxes).toHaveLength(2);
    expect(boxes[0]).toBe(boxes[1]);
  });

  it('tells a run that is hacked', async () => {
    const verdict = () => page.$eval('.tile:nth-child(2)', (tile) => (tile as HTMLElement).innerText);
    await open(await writeRunReport(join(folder, 'shapes')));
    expect(await verdict()).toContain('No sign of it');
    await writeMadeUpRun(join(folder, 'young'), { epochs: 19, evaluations: 2 });
    await open(await writeRunReport(join(folder, 'young')));
    expect(await verdict()).toMatch(/Too early to say[\s\S]*After 20 epochs, the last 10/);
    await writeMadeUpRun(join(folder, 'black'), { epochs: 60, evaluations: 2, hacked: true });
    await open(await writeRunReport(join(folder, 'black')));
    expect(await verdict()).toMatch(/Look at the images[\s\S]*near-black pixels take over/);
    await scrollThrough(page);
    expect(await page.$eval('#watch', (part) => (part as HTMLElement).innerText)).toContain(
      'Norm of the velocity',
    );
  });

  it('says that a run diverged, and why', async () => {
    const problem =
      'The run diverged at epoch 41: the loss is NaN. The last good checkpoint is /home/jo/runs/a/epoch-40.';
    await writeMadeUpRun(join(folder, 'diverged'), {
      epochs: 41,
      evaluations: 2,
      plannedEpochs: 100,
      outcome: { reason: 'diverged', problem },
    });
    await open(await writeRunReport(join(folder, 'diverged')));
    const tile = await page.$eval('.tile:nth-child(3)', (each) => (each as HTMLElement).innerText);
    expect(tile).toMatch(/Diverged[\s\S]*the loss is NaN/);
    expect(tile).not.toContain('/home');
    expect(await seriousFaults(page)).toEqual([]);
  });

  it('shows a short run of one long prompt: whole epochs, a constant reward, and the prompt in a few lines', async () => {
    const prompt = `a red square ${'on a very long and winding road '.repeat(60)}${'x'.repeat(200)}`;
    await writeMadeUpRun(join(folder, 'odd'), {
      epochs: 5,
      evaluations: 2,
      prompts: [prompt],
      constant: true,
    });
    const own = await browser.context.newPage();
    await own.addInitScript(() => {
      const { fillText } = CanvasRenderingContext2D.prototype;
      const texts: string[] = [];
      Object.assign(globalThis, { texts });
      CanvasRenderingContext2D.prototype.fillText = function (text: string, ...place) {
        if (this.canvas.closest('#overview')) texts.push(text);
        fillText.call(this, text, ...place);
      };
    });
    await own.goto(pathToFileURL(await writeRunReport(join(folder, 'odd'))).href);
    await own.waitForSelector('#overview .plot canvas');
    const texts = () => own.evaluate(() => (globalThis as unknown as { texts: string[] }).texts);
    await expect
      .poll(async () => [...new Set(await texts())].sort(), { timeout: 600_000 })
      .toEqual(['0', '1', '2', '3', '4', '5', 'epoch']);
    await scrollThrough(own);
    for (const part of ['#images figcaption', '#prompts tbody tr']) {
      const heights = await own.$$eval(part, (all) => all.map((each) => each.getBoundingClientRect().height));
      expect(heights.length).toBeGreaterThan(0);
      expect(Math.max(...heights)).toBeLessThan(180);
    }
    await own.getByRole('button', { name: /^Enlarge: a red square/ }).click();
    expect(await own.$eval('dialog .prompt', (element) => element.textContent)).toBe(prompt);
    expect(await overflow(own)).toBe(0);
    await own.close();
  });

  it('reads values and zooms by keys', async () => {
    await open(await writeRunReport(join(folder, 'shapes')));
    const chart = page.getByRole('slider', { name: 'Reward, chart' }).first();
    await chart.focus();
    const value = () => chart.getAttribute('aria-valuetext');
    await page.keyboard.press('Home');
    expect(await value()).toMatch(/^epoch 0: /);
    await page.keyboard.press('ArrowRight');
    expect(await value()).toMatch(/^epoch 1: /);
    const reset = page.getByRole('button', { name: 'Reset zoom' }).first();
    expect(await reset.isDisabled()).toBe(true);
    await page.keyboard.press('+');
    expect(await reset.isEnabled()).toBe(true);
    await page.keyboard.press('0');
    expect(await reset.isDisabled()).toBe(true);
  });

  it('lays several runs over each other', async () => {
    const file = await writeRunReport(join(folder, 'shapes'), { others: [join(folder, 'shapes-slow')] });
    await open(file);
    await scrollThrough(page);
    await shot('two-runs');
    const legend = await page.$eval('#curves .legend', (element) => element.textContent);
    expect(legend).toContain('shapes-slow');
    await page.getByRole('checkbox', { name: 'shapes-slow' }).uncheck();
    await page.waitForFunction(
      () => !document.querySelector('#curves .legend')?.textContent?.includes('shapes-slow'),
    );
    await page.getByLabel('Compare with').selectOption('shapes-slow');
    await page.getByRole('button', { name: 'side by side' }).click();
    const pair = await page.$$eval('#images li:first-child img', (all) =>
      all.map((each) => each.getAttribute('src')),
    );
    expect(pair).toEqual(['../shapes-slow/samples/epoch-000040.png', 'samples/epoch-000060.png']);
    await page.getByLabel('Details for').selectOption('shapes-slow');
    const image = await page.waitForSelector('#images img[src="../shapes-slow/samples/epoch-000040.png"]');
    await page.waitForFunction((element) => (element as HTMLImageElement).naturalHeight > 0, image);
    expect(await seriousFaults(page)).toEqual([]);
    expect(problems).toEqual([]);
  });
});

it('can be passed on as a folder, or as one file with 200 images', async () => {
  const [copy, moved] = [join(folder, 'copy'), join(folder, 'moved')];
  await writeMadeUpRun(join(folder, 'long'), { epochs: 40, evaluations: 20 });
  await writeRunReport(join(folder, 'long'), { out: copy });
  await rename(join(folder, 'long'), join(folder, 'elsewhere'));
  await rename(copy, moved);
  await open(join(moved, 'report.html'));
  await page.waitForFunction(
    () => (document.querySelector('#images img') as HTMLImageElement | null)?.naturalHeight,
  );

  const single = await writeRunReport(join(folder, 'elsewhere'), {
    out: join(folder, 'single'),
    singleFile: true,
  });
  expect(existsSync(join(folder, 'single/report'))).toBe(false);
  const text = await readFile(single, 'utf8');
  const files = text.match(/data:image\/png;base64/g)!.length;
  expect(files * 16).toBeLessThanOrEqual(200);
  expect(files).toBe(12);
  await open(single);
  await page.waitForFunction(
    () => (document.querySelector('#images img') as HTMLImageElement | null)?.naturalHeight,
  );
  expect(problems).toEqual([]);
});

it('opens a run of 2,000 epochs and 10,000 images', async () => {
  await writeMadeUpRun(join(folder, 'large'), { epochs: 2000, evaluations: 625 });
  const file = await writeRunReport(join(folder, 'large'));
  await open(file);
  const timing = await page.evaluate(() => {
    const [entry] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
    return { loaded: entry!.loadEventEnd, heap: document.querySelectorAll('*').length };
  });
  // Not a limit: how fast a machine under tests is says nothing. The page's size does.
  console.log(`loaded after ${timing.loaded.toFixed(0)} ms`);
  expect(timing.heap).toBeLessThan(3000);
  expect(await page.$$eval('#images img', (all) => all.length)).toBe(16);
  expect(problems).toEqual([]);
});
