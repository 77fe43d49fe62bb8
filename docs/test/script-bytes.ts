import type { Page, Response } from 'playwright-core';

/** Data stand in scripts of their own where a page of files may not fetch them; workers come after the page is there. */
const NOT_COUNTED = /\/run-\d+\.js$|\/worker\.js$/;

/** The bytes of script, outside and inside the page, that `open` loads before the page's data. */
export async function scriptBytes(page: Page, open: () => Promise<void>): Promise<number> {
  const responses: Response[] = [];
  const listener = (response: Response) => {
    const { pathname } = new URL(response.url());
    if (response.request().resourceType() === 'script' && !NOT_COUNTED.test(pathname))
      responses.push(response);
  };
  page.on('response', listener);
  await open();
  page.off('response', listener);
  const bodies = await Promise.all(responses.map((response) => response.body()));
  const inline = await page.evaluate(() =>
    Array.from(document.scripts, ({ src, text }) => (src || text.startsWith('globalThis.') ? '' : text)),
  );
  return [...bodies, ...inline.map((text) => Buffer.from(text))].reduce((sum, { length }) => sum + length, 0);
}
