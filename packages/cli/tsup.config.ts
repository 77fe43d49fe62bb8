import { library } from '../../tsup.base.ts';

const entries = {
  index: 'src/index.ts',
  logging: 'src/logging/index.ts',
  pretrain: 'src/pretrain/index.ts',
  profile: 'src/profile/index.ts',
  report: 'src/report/index.ts',
  'run-file': 'src/run-file/index.ts',
};

/** The command and the loader that Node runs beside it are entries of their own. */
export default library(
  { ...entries, bin: 'src/bin.ts', 'typescript-loader': 'src/setup/typescript-loader.ts' },
  // Editors check run files by the schema in node_modules.
  { dts: { entry: entries }, onSuccess: 'node bin/flow-grpo.js schema > dist/run.schema.json' },
);
