// Pictures of every state of every page, in light, dark and on a phone, to be looked at: docs/.vitepress/dist/screenshots
// (or --out FOLDER), with an index.html that shows them all. `npm run docs` comes first; --site FOLDER takes another site.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadScreenshots } from './bundle.mjs';

const { values } = parseArgs({ options: { out: { type: 'string' }, site: { type: 'string' } } });
const site = values.site ?? fileURLToPath(new URL('../.vitepress/dist', import.meta.url));
const { takeScreenshots } = await loadScreenshots();
console.log(await takeScreenshots(site, values.out ?? `${site}/screenshots`));
