import { library } from '../../tsup.base.ts';

export default library({
  index: 'src/index.ts',
  conventions: 'src/conventions.ts',
  rules: 'src/rules/index.ts',
  gradients: 'src/gradients.ts',
});
