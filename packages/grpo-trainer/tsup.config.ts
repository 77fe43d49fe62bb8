import { library } from '../../tsup.base.ts';

export default library({
  index: 'src/index.ts',
  config: 'src/config/index.ts',
  maths: 'src/maths/index.ts',
  node: 'src/node.ts',
});
