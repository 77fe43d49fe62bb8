/** The page's script and style sheet: built into the package, or bundled now where only the sources are there. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

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
  // Beside the built package; sources have no such folder.
  const built = (name: string) => readFile(fileURLToPath(new URL(`./page/${name}`, import.meta.url)), 'utf8');
  try {
    const [script, style] = await Promise.all([built('app.js'), built('style.css')]);
    return { script, style };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  // By a name that bundlers do not follow: published packages do not have it.
  const bundler = new URL('../../build-page.mjs', import.meta.url).href;
  const { buildPage } = (await import(bundler)) as { buildPage(): Promise<PageAssets> };
  return buildPage();
}
