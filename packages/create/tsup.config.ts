import { library } from '../../tsup.base.ts';

const entries = { index: 'src/index.ts' };

/** The command is an entry of its own. */
export default library({ ...entries, bin: 'src/bin.ts' });
