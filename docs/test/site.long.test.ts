import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { seriousFaults } from '@flow-grpo/test-support/accessibility';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { npmName, packageNames } from '../site/packages';
import { scriptBytes } from './script-bytes';
import { serveSite } from './serve';

const docs = fileURLToPath(new URL('..', import.meta.url));
const dist = mkdtempSync(join(tmpdir(), 'flow-grpo-site-'));
/** Served from a folder of a server, as project pages are. */
const base = '/flow-grpo/';

/** Pages by their address without `.html`, with the links out of them and the places in them. */
const pages = new Map<string, { links: string[]; ids: Set<string> }>();

beforeAll(async () => {
  const env = { ...process.env, DOCS_BASE: base, NODE_ENV: 'production' };
  await promisify(execFile)(process.execPath, ['site/build.mjs', '--out', dist], {
    cwd: docs,
    env,
    maxBuffer: 1 << 26,
  });
  for (const file of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.html') || /^(sampler-demo|paint-a-reward|try-it)/.test(file)) continue;
    const html = readFileSync(join(dist, file), 'utf8');
    const values = (attribute: string) =>
      [...html.matchAll(new RegExp(`\\s${attribute}="([^"]*)"`, 'g'))].map(([, value]) =>
        decodeEntities(value!),
      );
    pages.set(`/${file.replace(/(index)?\.html$/, '')}`, {
      links: [...values('href'), ...values('src')].filter((link) => !/^(https?:|data:|mailto:)/.test(link)),
      ids: new Set(values('id')),
    });
  }
});

afterAll(() => rmSync(dist, { recursive: true, force: true }));

describe('the site', () => {
  it('has its guide, a page and a reference for every package, and the demo', () => {
    const guide = [
      '/',
      '/getting-started',
      '/maths',
      '/recipe',
      '/algorithms',
      '/run-page',
      '/porting',
      '/architecture',
      '/features',
    ];
    const references = packageNames.map((name) => [`/packages/${name}`, `/api/${npmName(name)}`]);
    for (const page of [...guide, ...references.flat()])
      expect(pages.has(page) || pages.has(`${page}/`), page).toBe(true);
    for (const demo of ['sampler-demo', 'paint-a-reward'])
      expect(existsSync(join(dist, demo, 'index.html')), demo).toBe(true);
  });

  it('has no link to a page, a file or a place that does not exist', () => {
    const broken = [...pages].flatMap(([page, { links }]) =>
      links.filter((link) => !resolves(page, link)).map((link) => `${page}: ${link}`),
    );
    expect(broken).toEqual([]);
  });

  it('shows pictures that have something in them', () => {
    for (const name of ['paths', 'step-noise', 'noise-error', 'hero']) {
      const svg = readFileSync(join(dist, `pictures/${name}.svg`), 'utf8');
      expect(svg.match(/<(polyline|rect|path)/g)?.length, name).toBeGreaterThan(3);
      expect(svg, name).not.toMatch(/NaN|undefined|Infinity/);
    }
  });
});

describe('in Chromium', () => {
  let browser: Awaited<ReturnType<typeof launchChromium>>;
  let site: Awaited<ReturnType<typeof serveSite>>;

  beforeAll(async () => {
    site = await serveSite(dist, base);
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    site?.server.close();
  });

  it('shows formulas and pictures, finds words, and leads to the demo', async () => {
    const page = await browser.context.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(`${site.url}maths`);
    expect(await page.locator('.katex-error').count()).toBe(0);
    expect(await page.locator('.katex-display').count()).toBeGreaterThan(4);
    for (const picture of await page.locator('.vp-doc img').all()) {
      await picture.scrollIntoViewIfNeeded();
      expect(await picture.evaluate((img) => (img as HTMLImageElement).decode().then(() => 'drawn'))).toBe(
        'drawn',
      );
    }

    await page.locator('.VPNavBarSearch button').click();
    await page.locator('#localsearch-input').fill('noiseLevel');
    await page.locator('.results .result').first().waitFor();
    await page.keyboard.press('Escape');

    await page.getByRole('link', { name: 'Demo' }).first().click();
    await page.waitForSelector('body[data-ready]');
    await page.getByRole('link', { name: 'The mathematics' }).click();
    await page.locator('.katex-display').first().waitFor();
    expect(page.url()).toBe(`${site.url}maths`);
    expect(errors).toEqual([]);
    await page.close();
  });

  it("keeps the reader's choice of dark or light in the demo", async () => {
    const page = await browser.context.newPage();
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: 'light' });
    await page.goto(site.url);
    await page.locator('.VPNavBarAppearance button').click();
    await page.goto(`${site.url}sampler-demo/index.html`);
    await page.waitForSelector('body[data-ready]');
    expect(await page.getAttribute('html', 'data-theme')).toBe('dark');
    await page.close();
  });

  /** One page of each kind; the pages that run something are in pages.long.test.ts. */
  const KINDS = [
    '',
    'run-page',
    'recipe',
    'maths',
    'packages/',
    'packages/rewards',
    'api/@flow-grpo/sde-sampler',
  ];

  it('has no serious fault of accessibility, and at most 300 kB of script before its text', async () => {
    const page = await browser.context.newPage();
    await page.setViewportSize({ width: 1280, height: 800 });
    const problems: string[] = [];
    for (const kind of KINDS) {
      const bytes = await scriptBytes(page, async () => {
        await page.goto(site.url + kind, { waitUntil: 'networkidle' });
      });
      if (bytes < 50_000 || bytes > 300_000) problems.push(`${kind}: ${bytes} bytes of script`);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        // The theme's search button shows a key beside its name.
        const faults = await seriousFaults(page, ['.DocSearch-Button']);
        problems.push(...faults.map((fault) => `${kind}, ${colorScheme}: ${fault}`));
      }
    }
    expect(problems).toEqual([]);
    await page.close();
  });

  it('fits a phone on every page', async () => {
    const page = await browser.context.newPage();
    await page.setViewportSize({ width: 360, height: 780 });
    const wide: string[] = [];
    const measure = async (address: string) => {
      await page.goto(`${site.url}${address.slice(1)}`);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      if (width > 360) wide.push(`${address}: ${width} pixels`);
    };
    // Pages are whole without their scripts, which would take most of the time; demos are not.
    await page.route('**/*.js', (route) => route.abort());
    for (const address of pages.keys()) await measure(address);
    await page.unroute('**/*.js');
    for (const demo of ['sampler-demo', 'paint-a-reward']) await measure(`/${demo}/index.html`);
    expect(wide).toEqual([]);
    await page.close();
  });
});

function resolves(page: string, link: string): boolean {
  const { pathname, hash } = new URL(link, `http://site${base}${page.slice(1)}`);
  if (!pathname.startsWith(base)) return false;
  const path = decodeURIComponent(pathname).replace(base, '/');
  const target = pages.get(path) ?? pages.get(path.replace(/(index)?\.html$/, '')) ?? pages.get(`${path}/`);
  if (!target) return existsSync(join(dist, relative('/', path)));
  return hash === '' || target.ids.has(decodeURIComponent(hash.slice(1)));
}

const decodeEntities = (text: string) =>
  text.replaceAll('&amp;', '&').replaceAll('&quot;', '"').replaceAll('&#39;', "'");
