/** A page's script and style sheet: built into its package, or bundled now where only the sources are there. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface PageAssets {
  readonly script: string;
  readonly style: string;
}

/**
 * A function that loads the assets once.
 *
 * @param packageName the package that carries the page, with `dist/page` when it is built and `build-page.mjs` before
 * @param url of the module that asks, two folders below the package's root in the sources
 * @returns it rejects when neither the built page nor its sources are there
 */
export function pageAssetsOf(packageName: string, url: string): () => Promise<PageAssets> {
  let assets: Promise<PageAssets> | undefined;
  return () => {
    assets ??= loadAssets(packageName, url).catch((error: Error) => {
      assets = undefined;
      throw error;
    });
    return assets;
  };
}

async function loadAssets(packageName: string, url: string): Promise<PageAssets> {
  const here = dirname(fileURLToPath(url));
  // Beside the built package; of the sources; and of the package by its name, for what has this file bundled into it.
  const root = packageRoot(packageName, url);
  const builders = [join(here, '../..'), ...(root ? [root] : [])].map((each) => join(each, 'build-page.mjs'));
  const found =
    (await readBuilt(join(here, 'page'))) ??
    (await build(builders.find(existsSync))) ??
    (root === undefined ? undefined : await readBuilt(join(root, 'dist/page')));
  if (found) return found;
  throw new Error(`the page's script is missing: ${packageName} is not installed where ${here} looks for it`);
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

function packageRoot(packageName: string, url: string): string | undefined {
  try {
    return dirname(createRequire(url).resolve(`${packageName}/package.json`));
  } catch {
    return undefined;
  }
}
