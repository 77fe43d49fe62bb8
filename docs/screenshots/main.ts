/** Takes a picture of every state of every page. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { launchChromium } from '@flow-grpo/test-support/chromium';
import { openPageStates, type PageState, VARIANTS } from './states';

/**
 * Writes `STATE-VARIANT.png` and an index.html that shows all of them into `folder`.
 *
 * @param site folder of the built site, whose own pages are among the states
 * @returns the index's path
 * @throws when the site is not built
 */
export async function takeScreenshots(site: string, folder: string): Promise<string> {
  if (!existsSync(join(site, 'index.html')))
    throw new Error(`${site} holds no site: run npm run docs before npm run screenshots -w docs`);
  await mkdir(folder, { recursive: true });
  const { states, close } = await openPageStates({ site });
  const browser = await launchChromium();
  try {
    const page = await browser.context.newPage();
    for (const state of states) {
      for (const [variant, { colorScheme, width, height }] of Object.entries(VARIANTS)) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await page.setViewportSize({ width, height });
        await state.show(page);
        await page.screenshot({ path: join(folder, fileOf(state, variant)), fullPage: !state.modal });
      }
    }
  } finally {
    await browser.close();
    await close();
  }
  const index = join(folder, 'index.html');
  await writeFile(index, indexOf(states));
  return index;
}

const fileOf = ({ name }: PageState, variant: string) => `${name}-${variant}.png`;

function indexOf(states: readonly PageState[]): string {
  const picture = (state: PageState, variant: string) =>
    `<a href="${fileOf(state, variant)}"><img loading="lazy" src="${fileOf(state, variant)}" alt="${state.name}, ${variant}"></a>`;
  const rows = states.map(
    (state) =>
      `<h2>${state.name}</h2>\n<div>${Object.keys(VARIANTS)
        .map((each) => picture(state, each))
        .join('')}</div>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Every page, in every state</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; background: #e4e3ec; color: #23222f; }
div { display: flex; gap: 1rem; align-items: start; overflow-x: auto; }
img { height: 460px; width: auto; object-fit: cover; object-position: top; max-width: 640px; border: 1px solid #b9b8c8; }
</style>
</head>
<body>
<h1>Every page, in every state</h1>
${rows.join('\n')}
</body>
</html>
`;
}
