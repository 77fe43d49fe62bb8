import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';

/** Writes a JSON file into `folder`, which is made if it is missing. */
export async function writeJson(folder: string, name: string, json: unknown): Promise<void> {
  makeFolder(folder);
  await writeFile(join(folder, name), `${JSON.stringify(json, null, 2)}\n`);
}
