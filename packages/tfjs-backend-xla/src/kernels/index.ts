/** tfjs-core's kernels: as StableHLO for the device, on the host where shapes depend on data or data are strings. */
import { binaryKernels } from './binary';
import { complexKernels } from './complex';
import { convKernels } from './conv';
import { creationKernels, normalizationKernels } from './creation';
import { dilationKernels } from './dilation';
import { hostOnlyKernels } from './host';
import { imageKernels } from './image';
import { indexingKernels } from './indexing';
import type { HostKernel, Lowering } from './kernel';
import { matmulKernels } from './matmul';
import { poolKernels } from './pool';
import { reduceKernels } from './reduce';
import { resizeKernels } from './resize';
import { shapeKernels } from './shape';
import { unaryKernels } from './unary';

export { hasHostKernel, onHost } from './host';
export {
  type Attrs,
  attrsOf,
  type HostInputs,
  type HostKernel,
  type HostTensor,
  type Inputs,
  type Lowering,
} from './kernel';
export { softmax } from './reduce';
export { castTo, elementTypeOf, promote } from './values';

/** Kernels that become device code. Each name occurs once. */
export const lowerings: readonly Lowering[] = [
  ...unaryKernels,
  ...binaryKernels,
  ...shapeKernels,
  ...reduceKernels,
  ...matmulKernels,
  ...convKernels,
  ...indexingKernels,
  ...creationKernels,
  ...normalizationKernels,
  ...poolKernels,
  ...dilationKernels,
  ...resizeKernels,
  ...imageKernels,
  ...complexKernels,
];

/** Kernels that always run on the host. Others run there, by `onHost`, when a tensor holds strings. */
export const hostKernels: readonly HostKernel[] = hostOnlyKernels;
