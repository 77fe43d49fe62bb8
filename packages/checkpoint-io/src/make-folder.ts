/** Folders, made one by one. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Creates a folder, and those above it that are missing. Node's own `recursive: true` never returns where the system has no
 * place for a folder although the one above exists, such as below /proc; this gives the system's answer.
 *
 * @throws the system's error if one of them cannot be created; its `path` says which
 */
export function makeFolder(path: string): void {
  const folder = resolve(path);
  const above = dirname(folder);
  if (folder !== above && !existsSync(above)) makeFolder(above);
  try {
    mkdirSync(folder);
  } catch (error) {
    // It was there, or another process was faster. A root that is there may be refused for other reasons.
    if (!isFolder(folder)) throw error;
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
