/** What holds for every page in every state: no serious fault of accessibility, a phone's width, little script. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { overflow, seriousFaults } from '@flow-grpo/test-support/accessibility';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPageStates, VARIANTS } from '../screenshots/states';
import { encodeDelta } from '../try-it/delta';
import { parseSafetensors } from '../try-it/safetensors';
import { scriptBytes } from './script-bytes';

const model = fileURLToPath(new URL('../../examples/quickstart/assets/model.safetensors', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pages-'));
let opened: Awaited<ReturnType<typeof openPageStates>>;
let browser: Awaited<ReturnType<typeof launchChromium>>;
let page: Page;

beforeAll(async () => {
  // Stands for training: every weight of the head a little smaller.
  const bytes = readFileSync(model);
  const start = parseSafetensors(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer,
  );
  const head = Object.entries(start).filter(([name]) => name.startsWith('diffusion_head_b.'));
  const after = Object.fromEntries(
    head.map(([name, { shape, values }]) => [name, { shape, values: values.map((value) => 0.9 * value) }]),
  );
  const tuned = join(folder, 'tuned.safetensors');
  writeFileSync(tuned, encodeDelta(start, after));
  opened = await openPageStates({ tuned });
  browser = await launchChromium();
  page = await browser.context.newPage();
  await page.emulateMedia({ reducedMotion: 'reduce' });
});
afterAll(async () => {
  await browser?.close();
  await opened?.close();
  rmSync(folder, { recursive: true });
});

it('has a state of each kind', () => {
  expect(opened.states.map(({ name }) => name)).toEqual([
    ...['empty', 'live', 'finished', 'diverged', 'hacked', 'several', 'odd', 'long', 'human', 'enlarged'].map(
      (name) => `run-${name}`,
    ),
    ...['scores', 'scores-enlarged', 'comparison', 'sampler-demo', 'paint', 'paint-tuning', 'try-it'],
  ]);
});

it('has no serious fault in any state, fits a phone, and has at most 300 kB of script before its data', async () => {
  const faults: string[] = [];
  for (const { name, show } of opened.states) {
    await page.setViewportSize(VARIANTS.light);
    const bytes = await scriptBytes(page, () => show(page));
    if (bytes > 300_000) faults.push(`${name}: ${bytes} bytes of script`);
    if (bytes < 1000 && name !== 'comparison') faults.push(`${name}: its script was not measured`);
    // A page follows its window and the reader's choice of colours.
    for (const [variant, { colorScheme, width, height }] of Object.entries(VARIANTS)) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      const wider = await overflow(page);
      if (wider !== 0) faults.push(`${name}, ${variant}: ${wider} pixels wider than its window`);
      faults.push(...(await seriousFaults(page)).map((fault) => `${name}, ${variant}: ${fault}`));
    }
  }
  expect(faults).toEqual([]);
});
