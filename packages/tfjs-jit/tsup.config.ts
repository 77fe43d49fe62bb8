import { library } from '../../tsup.base.ts';

/** tfjs-core's gradients are written for bundlers, so Node cannot import them: the build carries them. */
export default library(['src/index.ts', 'src/backend.ts', 'src/gradients.ts'], {
  noExternal: ['@tensorflow/tfjs-core/dist/register_all_gradients'],
});
