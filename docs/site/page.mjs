// The pages that run in the browser, with what they have in common.
import { readFileSync } from 'node:fs';

const part = (name) => readFileSync(new URL(name, import.meta.url), 'utf8').trimEnd();

/**
 * The page in `file`, with the site's icon in place of `<!-- head -->`, and the rules of all pages in that of
 * `/* page.css *\/`.
 */
export function pageText(file) {
  const page = readFileSync(file, 'utf8');
  if (!page.includes('<!-- head -->')) throw new Error(`${file} has no place for the site's head`);
  return page
    .replace('<!-- head -->', () => part('page-head.html').trimStart())
    .replace('/* page.css */', () =>
      ['../../page-components/src/tokens.css', '../../page-components/src/base.css', 'page.css']
        .map(part)
        .join('\n'),
    );
}
