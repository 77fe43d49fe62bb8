/** The page's script and style sheet: built into the package, or bundled now where only the sources are there. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface PageAssets {
  readonly script: string;
  readonly style: string;
}

let assets: Promise<PageAssets> | undefined;

/** @throws when neither the built page nor its sources are there */
export function pageAssets(): Promise<PageAssets> {
  assets ??= loadAssets().catch((error: Error) => {
    assets = undefined;
    throw error;
  });
  return assets;
}

async function loadAssets(): Promise<PageAssets> {
  const here = dirname(fileURLToPath(import.meta.url));
  // Beside the built package; of the sources; and of the package by its name, for what has this file bundled into it.
  const root = packageRoot();
  const builders = [join(here, '../..'), ...(root ? [root] : [])].map((each) => join(each, 'build-page.mjs'));
  const found =
    (await readBuilt(join(here, 'page'))) ??
    (await build(builders.find(existsSync))) ??
    (root === undefined ? undefined : await readBuilt(join(root, 'dist/page')));
  if (found) return found;
  throw new Error(`the page's script is not there: flow-grpo is not installed where ${here} looks for it`);
}

async function readBuilt(folder: string): Promise<PageAssets | undefined> {
  if (!existsSync(join(folder, 'app.js'))) return undefined;
  const [script, style] = await Promise.all(
    ['app.js', 'style.css'].map((name) => readFile(join(folder, name), 'utf8')),
  );
  return { script: script!, style: style! };
}

async function build(builder: string | undefined): Promise<PageAssets | undefined> {
  if (builder === undefined) return undefined;
  // By a name that bundlers do not follow: published packages do not have it.
  const { buildPage } = (await import(pathToFileURL(builder).href)) as { buildPage(): Promise<PageAssets> };
  return buildPage();
}

function packageRoot(): string | undefined {
  try {
    return dirname(createRequire(import.meta.url).resolve('flow-grpo/package.json'));
  } catch {
    return undefined;
  }
}
