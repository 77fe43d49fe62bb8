/** Every state that a page can be in, ready to be shown in a browser: for screenshots, and for tests of all pages. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sceneBatch, shapeScenes } from '@flow-grpo/datasets';
import { humanQuestion } from '@flow-grpo/rewards/human';
import { scrollThrough } from '@flow-grpo/test-support/accessibility';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { comparisonPage } from '../../packages/cli/src/compare/page';
import { runPerson } from '../../packages/cli/src/human/run-person';
import { serveRuns } from '../../packages/cli/src/page/server';
import { writeMadeUpRun } from '../../packages/cli/src/page/testing/made-up-run';
import { writeRunReport } from '../../packages/cli/src/report/run-report';
import { scoresHtml } from '../../packages/rewards/src/cli/sheet';
import { buildPaintPage } from '../paint-a-reward/build.mjs';
import { buildDemo } from '../sampler-demo/build.mjs';
import { serveSite } from '../test/serve';
import { buildTryPage, hasTuned, TUNED } from '../try-it/build.mjs';

export interface PageState {
  readonly name: string;
  /** Opens the page in this state, and waits until it is drawn. */
  show(page: Page): Promise<void>;
  /** A dialog fills the window: there is nothing to be seen below it. */
  readonly modal?: boolean;
}

/** How every state is looked at. */
export const VARIANTS = {
  light: { colorScheme: 'light', width: 1200, height: 860 },
  dark: { colorScheme: 'dark', width: 1200, height: 860 },
  phone: { colorScheme: 'light', width: 390, height: 844 },
} as const;

export interface StateOptions {
  /** Folder of the built site; without it its pages are left out. */
  readonly site?: string;
  /** What the quickstart changed, for the page that draws with it; by default what is in the repository, if it is. */
  readonly tuned?: string;
}

export async function openPageStates({ site, tuned }: StateOptions = {}): Promise<{
  readonly states: readonly PageState[];
  close(): Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'page-states-'));
  const files = await serveSite(folder, '/');
  const built = site === undefined ? undefined : await serveSite(site, '/');
  const runs = await runStates(folder, files.url);
  const pages = await docsPages(folder, files.url, tuned ?? (hasTuned() ? TUNED : undefined));
  return {
    states: [...runs.states, ...(await commandPages(folder, files.url)), ...pages, ...sitePages(built?.url)],
    async close() {
      await runs.close();
      files.server.close();
      built?.server.close();
      await rm(folder, { recursive: true });
    },
  };
}

const state = (name: string, url: string, drawn: string, more: Partial<PageState> = {}): PageState => ({
  name,
  async show(page) {
    await page.goto(url);
    await page.waitForSelector(drawn);
    await scrollThrough(page);
  },
  ...more,
});

/** The run's page, live and as files. */
async function runStates(folder: string, url: string) {
  const plot = '#overview .plot canvas';
  const run = async (name: string, made: Partial<Parameters<typeof writeMadeUpRun>[1]> = {}) => {
    await writeMadeUpRun(join(folder, name), { epochs: 60, evaluations: 7, side: 64, ...made });
    return join(folder, name);
  };
  const report = async (name: string, made?: Partial<Parameters<typeof writeMadeUpRun>[1]>) => {
    await writeRunReport(await run(name, made));
    return `${url}${name}/report.html`;
  };
  const diverged = {
    reason: 'diverged',
    problem:
      'The run diverged at epoch 41: the gradient norm is 48.1, 96 times its median 0.501 at learning rate 3.00e-4.',
  } as const;
  const finished = await report('shapes', { outcome: { reason: 'finished' } });
  const slower = await run('shapes-slow', { epochs: 40, evaluations: 3, seed: 2, plannedEpochs: 100 });
  await writeRunReport(join(folder, 'shapes'), { others: [slower], out: join(folder, 'two') });

  const odd = { epochs: 5, evaluations: 2, prompts: [LONG_PROMPT], constant: true };
  await mkdir(join(folder, 'nothing-yet'));
  const empty = await serveRuns([join(folder, 'nothing-yet')]);
  const live = await serveRuns([await run('live', { epochs: 40, plannedEpochs: 100 })]);
  live.status('epoch 41/100  rollout 5/12  reward 0.7421  23.6 images/s  5 min 25 s left');
  const person = runPerson();
  person.expect!();
  await person.keepIn(join(folder, 'nothing-yet'));
  const asking = await serveRuns([join(folder, 'nothing-yet')], { person });
  const over = new AbortController();
  const images = triangles();
  const asked = person.ask(humanQuestion('a triangle', images), over.signal).catch((error: Error) => {
    if (!over.signal.aborted) throw error;
  });
  const servers = [empty, live, asking];
  return {
    states: [
      state('run-empty', empty.url, '.empty'),
      state('run-live', live.url, plot),
      state('run-finished', finished, plot),
      state(
        'run-diverged',
        await report('diverged', { epochs: 41, plannedEpochs: 100, outcome: diverged }),
        plot,
      ),
      state('run-hacked', await report('hacked', { hacked: true }), plot),
      state('run-several', `${url}two/report.html`, plot),
      state('run-odd', await report('odd', odd), plot),
      state('run-long', await report('long', { epochs: 2000, evaluations: 60, side: 32 }), plot),
      state('run-human', asking.url, '#judge img'),
      {
        name: 'run-enlarged',
        modal: true,
        async show(page: Page) {
          await page.goto(finished);
          await page.getByRole('button', { name: /^Enlarge: a blue circle/ }).click();
          await page.waitForSelector('dialog[open] canvas');
        },
      },
    ],
    async close() {
      over.abort();
      await asked;
      for (const server of servers) await server.close('over');
    },
  };
}

/** As language models write them: one image whose prompt is longer than anything around it. */
const LONG_PROMPT = `${'A highly detailed wide shot of a lighthouse on a cliff at dusk, seen from the sea, with waves that break on dark rocks, gulls, and a small boat in the distance. '.repeat(4)}Averyverylongwordwithoutanyspaces${'x'.repeat(120)}`;

/** The pages that other commands write. */
async function commandPages(folder: string, url: string): Promise<PageState[]> {
  const { images, batch } = scenes();
  const scores = images.map((_, i) => Math.round(1000 * (0.5 + 0.45 * Math.sin(2.4 * i))) / 1000);
  const thumbnails = await Promise.all(
    images.map(async ({ data, width, height }) => {
      const png = await sharp(data, { raw: { width, height, channels: 3 } })
        .png()
        .toBuffer();
      return `data:image/png;base64,${png.toString('base64')}`;
    }),
  );
  const scored = {
    rewards: ['shapes', 'jpeg_compressibility=0.1'],
    images: batch.metadata.map((metadata, i) => ({ file: `${i}.png`, prompt: metadata.prompt, metadata })),
    scores,
    details: {
      shapes: scores,
      strict: scores.map((score) => Number(score > 0.6)),
      jpeg_compressibility: scores.map((score, i) => -1.2 - 0.3 * score - 0.01 * i),
    },
  };
  await writeFile(join(folder, 'scores.html'), await scoresHtml(scored, thumbnails));
  const curve = (gain: number) =>
    Array.from({ length: 9 }, (_, i) => ({
      images: 1000 * i,
      seconds: 20 * i,
      value: 0.4 + gain * (1 - Math.exp(-i / 3)),
    }));
  const estimate = (mean: number) => ({ mean, error: 0.012, overImages: 0.018 });
  const summaries = [
    ['grpo', 0.22],
    ['nft', 0.3],
  ].map(([setting, gain]) => ({
    setting: String(setting),
    seeds: [0, 1, 2],
    failed: {},
    start: estimate(0.4),
    end: estimate(0.4 + Number(gain)),
    ...(setting === 'nft' && { difference: estimate(0.08) }),
    reached: [{ level: 0.5, images: 2400, seconds: 48 }],
    imagesPerSecond: 52,
    diversity: 0.42,
    nearBlack: 0.01,
    curve: curve(Number(gain)),
  }));
  await writeFile(join(folder, 'comparison.html'), comparisonPage({ measure: 'reward', summaries }));
  return [
    state('scores', `${url}scores.html`, '#overview .plot canvas'),
    {
      name: 'scores-enlarged',
      modal: true,
      async show(page) {
        await page.goto(`${url}scores.html`);
        await page.getByRole('button', { name: 'Enlarge: 3.png' }).click();
        await page.waitForSelector('dialog[open]');
      },
    },
    state('comparison', `${url}comparison.html`, 'table'),
  ];
}

/** The pages of the site that run in the browser. */
async function docsPages(folder: string, url: string, tuned: string | undefined): Promise<PageState[]> {
  await buildDemo(join(folder, 'sampler-demo'));
  await buildPaintPage(join(folder, 'paint'));
  if (tuned) await buildTryPage(join(folder, 'try'), tuned);
  return [
    state('sampler-demo', `${url}sampler-demo/index.html`, 'body[data-ready]'),
    state('paint', `${url}paint/index.html`, 'body[data-ready]'),
    {
      name: 'paint-tuning',
      async show(page) {
        await page.goto(`${url}paint/index.html`);
        await page.getByRole('button', { name: 'two spots' }).click();
        await page.getByRole('button', { name: 'Tune' }).click();
        await page.waitForFunction(() => Number(document.body.dataset.epoch) >= 12);
        await page.getByRole('button', { name: 'Stop' }).click();
      },
    },
    ...(tuned ? [state('try-it', `${url}try/index.html`, 'body[data-drawn]')] : []),
  ];
}

const SITE = {
  home: '',
  guide: 'getting-started',
  recipe: 'recipe',
  package: 'packages/rewards',
  api: 'api/',
};

const sitePages = (url: string | undefined): PageState[] =>
  url === undefined ? [] : Object.entries(SITE).map(([name, page]) => state(name, url + page, '.VPContent'));

const SIDE = 64;

/** Scenes of coloured shapes, as bytes. */
function scenes() {
  const batch = sceneBatch(shapeScenes({ size: SIDE, seed: 21 }), 0, 24);
  const size = SIDE * SIDE * 3;
  const images = batch.metadata.map((_, i) => bytesOf(batch.images.subarray(i * size, (i + 1) * size)));
  return { images, batch };
}

/** What a model might draw for the prompt `a triangle`. */
function triangles() {
  const drawn = shapeScenes({ size: SIDE, seed: 21, kinds: ['single_object', 'colors'] });
  return Array.from({ length: 80 }, (_, i) => drawn.scene(i))
    .filter(({ prompt }) => prompt.endsWith('triangle'))
    .slice(0, 8)
    .map(({ image }) => bytesOf(image));
}

const bytesOf = (image: Float32Array) => ({
  data: Uint8Array.from(image, (value) => Math.round(255 * value)),
  width: SIDE,
  height: SIDE,
});
