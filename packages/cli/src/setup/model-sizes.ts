import type { ModelSizes } from '../run/memory-estimate';
import type { ModelSetupOptions } from '../run-file/setup-schema';
import type { SetupContext } from './setup';
import { showo2Sizes } from './showo2-sizes';
import { zImageSizes } from './z-image-sizes';

/** Sizes of the model that `options` name, from its configuration alone. */
export const modelSizes = (options: ModelSetupOptions, context: SetupContext): Promise<ModelSizes> =>
  options.kind === 'z-image' ? zImageSizes(options, context) : showo2Sizes(options, context);
