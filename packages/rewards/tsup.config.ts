import { library } from '../../tsup.base.ts';

const entries = {
  index: 'src/index.ts',
  backend: 'src/backend.ts',
  registry: 'src/registry/index.ts',
  pickle: 'src/remote/pickle/index.ts',
  human: 'src/human/index.ts',
  origin: 'src/server/origin.ts',
};

/** The command is an entry of its own. */
export default library({ ...entries, bin: 'src/cli/bin.ts' });
