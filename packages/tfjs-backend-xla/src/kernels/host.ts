import type { HostKernel } from './kernel';

/** Kernels that run on the host. */
export const hostKernelList: HostKernel[] = [];
