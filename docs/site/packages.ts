import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** Names of all packages, without their scope. */
export const packageNames: readonly string[] = readdirSync(path('../../packages'));

/** Where the API reference of a package starts: a page, or a folder when it has namespaces. */
export const apiLink = (name: string): string =>
  `/api/@flow-grpo/${name}${existsSync(path(`../api/@flow-grpo/${name}.md`)) ? '' : '/'}`;
