import { library } from '../../tsup.base.ts';

// tfjs-core's gradients are written for bundlers (imports without extensions): Node cannot load them unbundled.
export default library(['src/main.ts'], {
  noExternal: ['@tensorflow/tfjs-core/dist/register_all_gradients'],
});
