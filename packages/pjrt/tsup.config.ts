import { library } from '../../tsup.base.ts';
import { copyThreads } from './copy-threads.mjs';

/** The command is an entry of its own: it starts without the FFI, which only `doctor` loads. */
export default library(
  { index: 'src/index.ts', cli: 'src/cli.ts' },
  { onSuccess: async () => copyThreads('dist') },
);
