import { library } from '../../tsup.base.ts';

/** The command is an entry of its own: it starts without the FFI, which only `doctor` loads. */
export default library(
  { index: 'src/index.ts', cli: 'src/cli.ts' },
  { dts: { entry: { index: 'src/index.ts' } } },
);
