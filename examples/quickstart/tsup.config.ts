import { library } from '../../tsup.base.ts';

export default library(['src/main.ts', 'src/pretrain.ts'], { dts: false });
