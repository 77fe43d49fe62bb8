import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gaussianFlow } from '@flow-grpo/grpo-trainer';
import { type HumanQuestion, humanQuestion } from '@flow-grpo/rewards/human';
import { makeReward } from '@flow-grpo/rewards/registry';
import { overflow, seriousFaults } from '@flow-grpo/test-support/accessibility';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { useBackend } from '../commands/shared';
import { readJsonLines } from '../logging/json-lines';
import { serveRuns } from '../page/server';
import { trainRun } from '../run/train-run';
import { resolveRunFile } from '../run-file/schema';
import { type RunPerson, runPerson } from './run-person';

let folder: string;
let browser: Awaited<ReturnType<typeof launchChromium>>;
beforeAll(async () => {
  await useBackend('cpu');
  browser = await launchChromium();
});
afterAll(() => browser?.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'human-'));
});
afterEach(() => rm(folder, { recursive: true }));

const PROMPTS = ['a colour', 'another'];
const EPOCHS = 8;

/** A run whose images are one pixel each; how red they are on average is noted question by question. */
async function run(person: RunPerson, reds: number[], onNote: (text: string) => void) {
  const noted: RunPerson = Object.assign(Object.create(person) as RunPerson, {
    ask(question: HumanQuestion, signal?: AbortSignal) {
      reds.push(question.images.reduce((sum, { data }) => sum + data[0]! / 255, 0) / question.images.length);
      return person.ask(question, signal);
    },
  });
  const prompts = PROMPTS.map((prompt) => ({ prompt }));
  const made = {
    policy: gaussianFlow({ prompts: PROMPTS, mean: [0.4, 0.5, 0.5], std: 0.15 }),
    prompts,
    evalPrompts: prompts,
    scorer: await makeReward('human', {}, { person: noted }),
  };
  const file = resolveRunFile({
    output: folder,
    setup: 'toy',
    epochs: EPOCHS,
    evalEvery: 4,
    sampling: { numSteps: 6, promptsPerEpoch: 2, samplesPerPrompt: 6, noiseLevel: 0.7 },
    training: { learningRate: 0.05, updatesPerEpoch: 1 },
    grpo: { clipRange: 0.2 },
  });
  const line = { show: onNote, log: onNote, note: onNote, end: () => {} };
  return trainRun(file, made, { ui: true, person, resume: false }, line);
}

/** The image of the page's question that is reddest, looked at as a person does: on the screen. */
const reddest = (page: Page) =>
  page.evaluate(async () => {
    const image = document.querySelector('#judge img') as HTMLImageElement | null;
    if (!image) return undefined;
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext('2d')!;
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const reds = Array.from({ length: canvas.height }, (_, i) => data[4 * i * canvas.width]!);
    return { name: `Image ${reds.indexOf(Math.max(...reds)) + 1}`, file: image.getAttribute('src')! };
  });

it('a person who likes red is waited for, click by click, and gets red; the same answers repeat the run', async () => {
  const person = runPerson();
  const reds: number[] = [];
  let told: (url: string) => void;
  const url = new Promise<string>((resolve) => {
    told = resolve;
  });
  const training = run(person, reds, (text) => {
    const found = /live page: (\S+)/.exec(text);
    if (found) told(found[1]!);
  });
  let over = false;
  const ended = training.finally(() => {
    over = true;
  });
  const page = await browser.context.newPage();
  await page.goto(await url);
  await expect
    .poll(() => page.evaluate(() => document.body.innerText), { timeout: 600_000 })
    .toContain('Training waits for you: 2 prompts to judge, 0 judged.');
  expect(await readJsonLines(join(folder, 'metrics.jsonl'))).toEqual([]);

  let judged = '';
  while (!over) {
    const seen = await reddest(page).catch(() => undefined); // the next question came in between
    if (seen === undefined || seen.file === judged) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      continue;
    }
    judged = seen.file;
    await page.getByRole('button', { name: seen.name, exact: true }).click();
  }
  expect((await ended).reason).toBe('finished');
  await page.close();
  expect(reds).toHaveLength(2 * EPOCHS);
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  expect(mean(reds.slice(-2))).toBeGreaterThan(mean(reds.slice(0, 2)) + 0.1);
  expect((await readdir(join(folder, 'answers'))).length).toBe(2 * EPOCHS);
  const [evaluation] = (await readFile(join(folder, 'evaluations.jsonl'), 'utf8')).split('\n');
  expect(JSON.parse(evaluation!)).toMatchObject({ epoch: 0, reward: null }); // drawn, and nobody was asked

  const answers = await readFile(join(folder, 'answers.jsonl'), 'utf8');
  const again: number[] = [];
  const nobody = runPerson();
  nobody.onChange(() => {
    if (nobody.waiting.length > 0) throw new Error('nobody is there to answer');
  });
  expect((await run(nobody, again, () => {})).reason).toBe('finished');
  expect(again).toEqual(reds);
  expect(nobody.answered).toBe(2 * EPOCHS);
  expect(await readFile(join(folder, 'answers.jsonl'), 'utf8')).toBe(answers);
});

describe('the page of questions', () => {
  const images = [0, 100, 200].map((red) => ({ data: Uint8Array.of(red, 0, 0), width: 1, height: 1 }));
  const question = humanQuestion('a colour', images);
  const post = (
    url: string,
    body: string,
    headers: Record<string, string> = { 'content-type': 'application/json' },
  ) => fetch(new URL('/answers', url), { method: 'POST', body, headers });

  it('takes orders and thumbs', async () => {
    const person = runPerson();
    person.expect!();
    await person.keepIn(folder);
    const server = await serveRuns([folder], { person });
    const page = await browser.context.newPage();
    await page.goto(server.url);
    const first = person.ask(question);
    await page.getByRole('button', { name: 'Image 3' }).waitFor();
    for (const [colorScheme, width] of [
      ['light', 1200],
      ['dark', 390],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 860 });
      const screenshots = process.env.UI_SCREENSHOTS;
      if (screenshots)
        await page.screenshot({ path: join(screenshots, `judge-${colorScheme}-${width}.png`) });
      expect(await overflow(page)).toBe(0);
      expect(await seriousFaults(page)).toEqual([]);
    }
    await page.getByRole('button', { name: 'order them' }).click();
    await page.getByRole('button', { name: 'Image 3' }).click();
    await page.keyboard.press('1');
    expect(await first).toEqual({ order: [2, 0, 1] });

    const second = person.ask(humanQuestion('another', images));
    await page.getByText('another', { exact: true }).first().waitFor(); // until then a click is for the first
    await page.getByRole('button', { name: 'thumbs' }).click();
    await page.getByRole('button', { name: 'Image 2' }).click();
    for (let i = 0; i < 2; i++) await page.getByRole('button', { name: 'Image 1' }).click();
    await page.getByRole('button', { name: 'Done' }).click();
    expect(await second).toEqual({ thumbs: [-1, 1, 0] });
    await page.close();
    await server.close('over');
  });

  it('refuses what is no answer', async () => {
    const person = runPerson();
    const server = await serveRuns([folder], { person });
    const asked = person.ask(question);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const { key } = question;
    for (const [body, code] of [
      ['', 400],
      ['null', 400],
      [JSON.stringify({ key, judgement: { best: 3 } }), 400],
      [JSON.stringify({ key, judgement: null }), 400],
      [JSON.stringify({ key, judgement: { order: [0, 0] } }), 400],
      [JSON.stringify({ key: 'unknown', judgement: { best: 0 } }), 410],
      [`"${'x'.repeat(20_000)}"`, 413],
    ] as const) {
      expect((await post(server.url, body)).status, body.slice(0, 60)).toBe(code);
    }
    const good = JSON.stringify({ key, judgement: { best: 1 } });
    expect((await post(server.url, good, { 'content-type': 'text/plain' })).status).toBe(415);
    expect(
      (await post(server.url, good, { 'content-type': 'application/json', origin: 'https://evil.example' }))
        .status,
    ).toBe(403);
    expect(person.waiting).toHaveLength(1);
    expect((await post(server.url, good)).status).toBe(204);
    expect(await asked).toEqual({ best: 1 });
    expect((await post(server.url, good)).status).toBe(410);
    await server.close('over');
  });

  it('has no answers where nobody is asked', async () => {
    const server = await serveRuns([folder]);
    expect((await post(server.url, '{}')).status).toBe(405);
    expect((await fetch(new URL('/questions', server.url))).status).toBe(404);
    await server.close('over');
  });

  it('asks the same question once, and not after the run has ended', async () => {
    const person = runPerson();
    const over = new AbortController();
    const asked = [person.ask(question), person.ask(question, over.signal)];
    await expect.poll(() => person.waiting.length).toBe(1);
    over.abort(new Error('ended'));
    await expect(asked[1]).rejects.toThrow('ended');
    expect(person.waiting).toHaveLength(1);
    await person.answer(question.key, { best: 0 });
    expect(await asked[0]).toEqual({ best: 0 });
    expect(person.waiting).toHaveLength(0);
  });
});
