import { mkdir, writeFile } from 'node:fs/promises';
import { library } from '../../tsup.base.ts';
import { buildPage } from './build-page.mjs';

const entries = {
  index: 'src/index.ts',
  backend: 'src/backend.ts',
  registry: 'src/registry/index.ts',
  pickle: 'src/remote/pickle/index.ts',
  human: 'src/human/index.ts',
  origin: 'src/server/origin.ts',
  'plain-text': 'src/plain-text.ts',
};

/** The page of scores for browsers. */
async function writeAssets(): Promise<void> {
  const { script, style } = await buildPage();
  await mkdir('dist/page', { recursive: true });
  await writeFile('dist/page/app.js', script);
  await writeFile('dist/page/style.css', style);
}

/** The command is an entry of its own. */
export default library({ ...entries, bin: 'src/cli/bin.ts' }, { onSuccess: writeAssets });
