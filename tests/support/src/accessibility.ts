import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

/**
 * Serious and critical faults of the page as it is now, by axe, as `rule: element`. The script is evaluated by the debugger,
 * so that a page's own policy for scripts stays in force. `exclude` selects what is not ours.
 */
export async function seriousFaults(page: Page, exclude: readonly string[] = []): Promise<string[]> {
  const { source } = createRequire(import.meta.url)('axe-core') as { source: string };
  await page.evaluate(source);
  return page.evaluate(async (exclude) => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(
          context: unknown,
        ): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>;
      };
    };
    const { violations } = await axe.run({ include: ['html'], exclude });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
  }, exclude);
}

/** Scrolls through the page and back, so that what is drawn when it comes into view is drawn. */
export const scrollThrough = (page: Page): Promise<void> =>
  page.evaluate(async () => {
    for (let y = 0; y < document.body.scrollHeight; y += 400) {
      scrollTo({ top: y, behavior: 'instant' });
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    }
    scrollTo({ top: 0, behavior: 'instant' });
  });

/** How many pixels the page is wider than its window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(async () => {
    // Charts follow a new width when they hear of it, a frame later.
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    await frame();
    await frame();
    return document.documentElement.scrollWidth - document.documentElement.clientWidth;
  });
