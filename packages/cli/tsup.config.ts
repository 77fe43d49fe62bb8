import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { library } from '../../tsup.base.ts';
import { buildPage } from './build-page.mjs';

const entries = {
  index: 'src/index.ts',
  logging: 'src/logging/index.ts',
  pretrain: 'src/pretrain/index.ts',
  profile: 'src/profile/index.ts',
  report: 'src/report/index.ts',
  'run-file': 'src/run-file/index.ts',
};

/** What a build writes besides: the page for browsers, and the schema by which editors check run files. */
async function writeAssets(): Promise<void> {
  const { script, style } = await buildPage();
  await mkdir('dist/page', { recursive: true });
  await writeFile('dist/page/app.js', script);
  await writeFile('dist/page/style.css', style);
  await writeFile('dist/run.schema.json', execFileSync(process.execPath, ['bin/flow-grpo.js', 'schema']));
}

/** The command and the loader that Node runs beside it are entries of their own. */
export default library(
  { ...entries, bin: 'src/bin.ts', 'typescript-loader': 'src/setup/typescript-loader.ts' },
  { onSuccess: writeAssets },
);
