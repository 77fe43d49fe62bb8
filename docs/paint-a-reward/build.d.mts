/** Writes the page into `folder` (default dist beside build.mjs) and returns the path of its index.html. */
export function buildPaintPage(folder?: string): Promise<string>;
