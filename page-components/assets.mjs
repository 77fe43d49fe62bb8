// A page's script and style sheet: built into its package, or bundled now where only the sources are there.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export function pageAssetsOf(packageName, url) {
  let assets;
  return () => {
    assets ??= loadAssets(packageName, url).catch((error) => {
      assets = undefined;
      throw error;
    });
    return assets;
  };
}

async function loadAssets(packageName, url) {
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

async function readBuilt(folder) {
  if (!existsSync(join(folder, 'app.js'))) return undefined;
  const [script, style] = await Promise.all(
    ['app.js', 'style.css'].map((name) => readFile(join(folder, name), 'utf8')),
  );
  return { script, style };
}

async function build(builder) {
  if (builder === undefined) return undefined;
  // By a name that bundlers do not follow: published packages do not have it.
  const { buildPage } = await import(pathToFileURL(builder).href);
  return buildPage();
}

function packageRoot(packageName, url) {
  try {
    return dirname(createRequire(url).resolve(`${packageName}/package.json`));
  } catch {
    return undefined;
  }
}
