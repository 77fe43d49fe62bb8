/** Imports your own modules, in JavaScript or TypeScript, with errors that say what to do. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { register } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Why a module cannot be there; undefined where it can. */
export async function moduleProblem(path: string): Promise<string | undefined> {
  const file = resolve(path);
  const found = await stat(file).catch(() => undefined);
  if (!found) return `${file} does not exist; flow-grpo init --setup module writes one to start from`;
  if (found.isDirectory()) return `${file} is a folder; give the module in it`;
  return undefined;
}

/** Imports a module by its path; of TypeScript the types are removed first, where Node does not do so itself. */
export function importModule(file: string): Promise<unknown> {
  readTypeScript(file);
  return import(pathToFileURL(file).href);
}

let registered = false;

/** Makes a TypeScript module importable: Node removes types itself from 22.18 on; before, a loader does so. */
export function readTypeScript(file: string): void {
  const { features } = process as unknown as { features: { typescript?: unknown } };
  if (registered || features.typescript || !/\.m?ts$/.test(file)) return;
  registered = true;
  // Beside the build's other files. Whatever runs this package from its sources reads TypeScript already.
  const loader = new URL('./typescript-loader.js', import.meta.url);
  if (existsSync(loader)) register(loader);
}

/** `, line 12`: the first place of an error's stack in a file, for messages without the stack. */
export function placeIn(thrown: unknown, file: string): string {
  const stack = thrown instanceof Error ? (thrown.stack ?? '') : '';
  const at = stack.split('\n').find((line) => line.includes(file) && /:\d+:\d+/.test(line));
  const line = at && /:(\d+):\d+\)?\s*$/.exec(at)?.[1];
  return line ? `, line ${line}` : '';
}
