/** Writes the self-contained index.html into `folder` (default dist beside build.mjs) and returns its path. */
export function buildDemo(folder?: string): Promise<string>;
