import { library } from '../../tsup.base.ts';

export default library({
  index: 'src/index.ts',
  algorithms: 'src/algorithms/index.ts',
  config: 'src/config/index.ts',
  maths: 'src/maths/index.ts',
  node: 'src/node.ts',
});
