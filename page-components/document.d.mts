/** A page with `head` and `body`, which are HTML. */
export function htmlDocument(title: string, head: readonly string[], body?: readonly string[]): string;

/** What the body of a page that a script draws begins with. */
export const NO_SCRIPT: string;

/** A style sheet inside a page: nothing in it ends its element. */
export function inlineStyle(style: string): string;

/** A script inside a page: nothing in it ends its element. */
export function inlineScript(script: string): string;

/** For text inside HTML and XML. */
export function escapeHtml(text: string): string;
