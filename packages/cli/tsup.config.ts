import { library } from '../../tsup.base.ts';

const entries = {
  index: 'src/index.ts',
  logging: 'src/logging/index.ts',
  pretrain: 'src/pretrain/index.ts',
  profile: 'src/profile/index.ts',
  report: 'src/report/index.ts',
  'run-file': 'src/run-file/index.ts',
};

/** The command is an entry of its own. */
export default library({ ...entries, bin: 'src/bin.ts' }, { dts: { entry: entries } });
