// The threads of distributed clients are files of their own, which Node loads as they are: they lie beside what is bundled.
import { copyFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export function copyThreads(folder) {
  const threads = fileURLToPath(new URL('src/distributed', import.meta.url));
  for (const file of readdirSync(threads).filter((name) => name.endsWith('.mjs'))) {
    copyFileSync(join(threads, file), join(folder, file));
  }
}
