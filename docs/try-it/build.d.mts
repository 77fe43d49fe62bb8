/** The file with what training changed. */
export const TUNED: string;
/** Whether there is a tuned model to show. */
export function hasTuned(): boolean;
/** Writes the page into `folder` (default dist beside build.mjs) and returns the path of its index.html. */
export function buildTryPage(folder?: string, tuned?: string): Promise<string>;
