/** tfjs-core's kernels: as StableHLO for the device, on the host where shapes depend on data or data are strings. */
import { binaryKernels } from './binary';
import { complexKernels } from './complex';
import { convKernels } from './conv';
import { creationKernels, normalizationKernels } from './creation';
import { hostKernelList } from './host';
import { indexingKernels } from './indexing';
import type { HostKernel, Lowering } from './kernel';
import { matmulKernels } from './matmul';
import { reduceKernels } from './reduce';
import { resizeKernels } from './resize';
import { shapeKernels } from './shape';
import { unaryKernels } from './unary';

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
  ...resizeKernels,
  ...complexKernels,
];

/** Kernels on the host. A name that is also in `lowerings` is meant for string tensors. */
export const hostKernels: readonly HostKernel[] = hostKernelList;
