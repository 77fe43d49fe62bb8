/** A page's script and style sheet, each as one text. */
export interface PageAssets {
  readonly script: string;
  readonly style: string;
}

/**
 * A function that loads a page's assets once: those built into its package, or bundled where only the sources are there.
 *
 * @param packageName the package that carries the page, with `dist/page` when it is built and `build-page.mjs` before
 * @param url of the module that asks, two folders below the package's root in the sources
 * @returns it rejects when neither the built page nor its sources are there
 */
export function pageAssetsOf(packageName: string, url: string): () => Promise<PageAssets>;
