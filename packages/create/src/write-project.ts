import { access, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import type { ProjectFiles } from './project-files';

/**
 * Writes the files into a folder, which is made. Files that are there stay as they are.
 *
 * @param force replaces files that are there
 * @param kept files that may be there already and are then kept, even with `force`: the user's prompts and reward
 * @returns the paths written
 * @throws an Error naming the files that are there, before anything is written
 */
export async function writeProject(
  folder: string,
  files: ProjectFiles,
  { force = false, kept = [] as readonly string[] } = {},
): Promise<string[]> {
  const pathOf = (name: string) => (isAbsolute(name) ? name : join(folder, name));
  const there = new Set<string>();
  for (const name of Object.keys(files)) {
    await access(pathOf(name)).then(
      () => there.add(name),
      () => undefined,
    );
  }
  const inTheWay = [...there].filter((name) => !kept.includes(name));
  if (inTheWay.length > 0 && !force) {
    throw new Error(
      `${inTheWay.map(pathOf).join(', ')}: there already; --force replaces, another folder leaves it alone`,
    );
  }
  const written: string[] = [];
  for (const [name, text] of Object.entries(files)) {
    if (there.has(name) && kept.includes(name)) continue;
    const path = pathOf(name);
    makeFolder(dirname(path));
    await writeFile(path, text);
    written.push(path);
  }
  return written;
}
