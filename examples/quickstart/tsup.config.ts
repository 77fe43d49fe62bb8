import { library } from '../../tsup.base.ts';

export default library(['src/main.ts', 'src/seeds.ts', 'src/setup.ts', 'src/pretrain/setup.ts']);
