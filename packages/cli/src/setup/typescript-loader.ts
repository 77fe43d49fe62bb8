/** A loader of Node that removes the types of TypeScript modules; registered where Node does not do so itself. */
import { readFile } from 'node:fs/promises';
import type { LoadHook } from 'node:module';
import { fileURLToPath } from 'node:url';
import { transformSync } from '@swc/wasm-typescript';

/** Blanks take the types' place, so that lines of errors are those of the file. */
export const load: LoadHook = async (url, context, next) => {
  if (!url.startsWith('file:') || !/\.m?ts(\?|$)/.test(url) || url.includes('/node_modules/')) {
    return next(url, context);
  }
  const file = fileURLToPath(url);
  const source = transformSync(await readFile(file, 'utf8'), { filename: file, mode: 'strip-only' }).code;
  return { format: 'module', source, shortCircuit: true };
};
