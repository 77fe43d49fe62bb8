import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { overflow, seriousFaults } from '@flow-grpo/test-support/accessibility';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildTryPage } from '../try-it/build.mjs';
import { applyDelta, encodeDelta } from '../try-it/delta';
import { promptOf } from '../try-it/prompt';
import { encodeSafetensors, parseSafetensors, type StoredTensor } from '../try-it/safetensors';
import { serveSite } from './serve';

const assets = fileURLToPath(new URL('../../examples/quickstart/assets/', import.meta.url));
const bufferOf = (bytes: Uint8Array) =>
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
const startWeights = () => parseSafetensors(bufferOf(readFileSync(join(assets, 'model.safetensors'))));

describe('the files of the page', () => {
  it('reads what it writes, and half floats', () => {
    const values = Float32Array.of(1, -2.5, 0);
    const file = encodeSafetensors({
      'a.weight': { dtype: 'F32', shape: [3, 1], values },
      b: { dtype: 'I8', shape: [2], values: Int8Array.of(-127, 5) },
    });
    const found = parseSafetensors(bufferOf(file));
    expect(found['a.weight']).toEqual({ shape: [3, 1], values });
    expect([...found.b!.values]).toEqual([-127, 5]);
    const half = Uint16Array.of(0x3c00, 0xc100, 0x0001, 0x7c00);
    const header = JSON.stringify({ h: { dtype: 'F16', shape: [4], data_offsets: [0, 8] } }).padEnd(64);
    const bytes = new Uint8Array(8 + 64 + 8);
    new DataView(bytes.buffer).setBigUint64(0, 64n, true);
    bytes.set(new TextEncoder().encode(header), 8);
    bytes.set(new Uint8Array(half.buffer), 72);
    expect([...parseSafetensors(bytes.buffer).h!.values]).toEqual([
      1,
      -2.5,
      2 ** -24,
      Number.POSITIVE_INFINITY,
    ]);
  });

  it('keeps a change to a 254th of its largest value, and leaves out what did not change', () => {
    const tensor = (values: number[]): StoredTensor => ({
      shape: [values.length],
      values: Float32Array.from(values),
    });
    const before = { a: tensor([1, 2, 3]), b: tensor([4]) };
    const after = { a: tensor([1.1, 1.8, 3]), b: tensor([4]) };
    const found = applyDelta(before, parseSafetensors(bufferOf(encodeDelta(before, after))));
    expect(Object.keys(found)).toEqual(['a']);
    for (const [i, value] of after.a.values.entries()) {
      expect(Math.abs(found.a!.values[i]! - value)).toBeLessThanOrEqual(0.2 / 254 + 1e-6);
    }
    expect(() => encodeDelta(before, before)).toThrow('the same');
    expect(() => encodeDelta(before, { c: tensor([1]) })).toThrow('c is not a weight');
  });
});

it.each([
  [1, 'red', 'circle', 'a red circle'],
  [1, 'orange', 'star', 'an orange star'],
  [1, '', 'square', 'a square'],
  [3, 'blue', 'star', 'three blue stars'],
] as const)('%i, %j, %s: %s', (count, color, shape, prompt) => {
  expect(promptOf(count, color, shape)).toBe(prompt);
});

describe('in Chromium', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flow-grpo-try-'));
  let browser: Awaited<ReturnType<typeof launchChromium>>;
  let site: Awaited<ReturnType<typeof serveSite>>;
  let page: Page;
  const errors: string[] = [];
  beforeAll(async () => {
    // Stands for training, which changes all weights: each a little smaller, and those of the head's last layer more so.
    const start = startWeights();
    const after = Object.fromEntries(
      Object.entries(start).map(([name, { shape, values }]) => {
        const factor = name.startsWith('diffusion_head_b.') ? 0.9 : 0.999;
        return [name, { shape, values: values.map((value) => factor * value) }];
      }),
    );
    const delta = encodeDelta(start, after);
    expect(Object.keys(parseSafetensors(bufferOf(delta)))).toHaveLength(2 * Object.keys(start).length);
    expect(delta.length).toBeLessThan(4e6);
    const tuned = join(folder, 'tuned.safetensors');
    writeFileSync(tuned, delta);
    await buildTryPage(join(folder, 'page'), tuned);
    site = await serveSite(join(folder, 'page'), '/');
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

  const drawn = (id: number) => page.waitForSelector(`body[data-drawn="${id}"]`);
  const pixels = (when: string) =>
    page.$$eval(`#${when} canvas`, (all) =>
      all.map((canvas) => {
        const { width, height } = canvas as HTMLCanvasElement;
        return [...(canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height).data];
      }),
    );

  it('draws before and after from the same noise, on WebAssembly', async () => {
    await drawn(1);
    expect(await page.getAttribute('body', 'data-backend')).toBe('wasm');
    const [before, after] = [await pixels('before'), await pixels('after')];
    expect(before.map(({ length }) => length)).toEqual([1, 1].map(() => 64 * 64 * 4));
    // The model draws on white, each image another.
    for (const image of before)
      expect(image.filter((value) => value > 200).length).toBeGreaterThan(image.length / 2);
    expect(new Set(before.map(String)).size).toBe(2);
    expect(after).not.toEqual(before);
    const distance = (a: number[], b: number[]) =>
      a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0);
    // The same noise makes like images: nearer to its own than to the others.
    expect(distance(before[0]!, after[0]!)).toBeLessThan(distance(before[0]!, before[1]!));

    await page.getByRole('button', { name: 'New noise' }).click();
    await drawn(2);
    expect(await pixels('before')).not.toEqual(before);
    await page.getByLabel('Shape').selectOption('circle');
    await page.getByLabel('Noise level').fill('0.7');
    await drawn(4);
    const screenshots = process.env.UI_SCREENSHOTS;
    if (screenshots) await page.screenshot({ path: join(screenshots, 'try-it.png'), fullPage: true });
    expect(errors).toEqual([]);
  });

  it('is accessible, and fits a phone', async () => {
    await page.setViewportSize({ width: 390, height: 860 });
    expect(await overflow(page)).toBe(0);
    expect(await seriousFaults(page)).toEqual([]);
  });

  it('has at most 300 kB of script before the model is loaded', () => {
    expect(readFileSync(join(folder, 'page/main.js')).length).toBeLessThan(300_000);
  });
});
