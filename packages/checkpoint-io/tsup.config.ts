import { library } from '../../tsup.base.ts';

export default library({
  index: 'src/index.ts',
  'make-folder': 'src/make-folder.ts',
  pickle: 'src/pickle/index.ts',
  tokenizer: 'src/tokenizer/index.ts',
});
