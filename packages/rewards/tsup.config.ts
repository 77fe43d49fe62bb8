import { library } from '../../tsup.base.ts';

/** The command is an entry of its own. */
export default library(
  { index: 'src/index.ts', bin: 'src/cli/bin.ts' },
  { dts: { entry: { index: 'src/index.ts' } } },
);
