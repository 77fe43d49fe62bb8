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

/** The page for browsers, where the built package looks for it. */
async function writePage(): Promise<void> {
  const { script, style } = await buildPage();
  await mkdir('dist/page', { recursive: true });
  await writeFile('dist/page/app.js', script);
  await writeFile('dist/page/style.css', style);
}

/** The command is an entry of its own. */
export default library({ ...entries, bin: 'src/bin.ts' }, { dts: { entry: entries }, onSuccess: writePage });
