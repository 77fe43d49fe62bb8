import { copyFileSync, readdirSync } from 'node:fs';
import { library } from '../../tsup.base.ts';

/** The threads of distributed clients are files of their own, which Node loads as they are. */
function copyWorkers(): void {
  const folder = 'src/distributed';
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.mjs'))) {
    copyFileSync(`${folder}/${file}`, `dist/${file}`);
  }
}

/** The command is an entry of its own: it starts without the FFI, which only `doctor` loads. */
export default library(
  { index: 'src/index.ts', cli: 'src/cli.ts' },
  { onSuccess: async () => copyWorkers() },
);
