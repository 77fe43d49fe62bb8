/**
 * XLA from Node through any PJRT plugin: buffers, compiled StableHLO programs and devices behind an interface that
 * cannot crash the process. Importing it loads no native code; `createClient` does.
 */
export type { PjrtApi } from './api';
export { PjrtBuffer } from './buffer';
export { PjrtClient } from './client';
export type { Collective } from './collectives';
export type { CompileOptions } from './compile-options';
export { type CreateClientOptions, createClient } from './create-client';
export { type DeviceMemoryStats, PjrtDevice } from './device';
export { Cluster, type DistributedOptions, joinCluster } from './distributed/cluster';
export type { ArrayShape, ElementType } from './element-types';
export { PjrtError, type PjrtErrorCode, PjrtOutOfMemoryError } from './errors';
export { type CompiledMemoryStats, type ExecuteOptions, PjrtExecutable } from './executable';
export { gpuCount } from './gpu-count';
export type { ProgramShape } from './hlo-module';
export type { HostData } from './host-data';
export type { NamedValue } from './named-values';
export type { InstallName } from './plugins/catalogue';
export {
  type FindPluginOptions,
  type FoundPlugin,
  findPlugin,
  listPlugins,
  NoPluginError,
} from './plugins/find';
export { type InstalledPlugin, type InstallOptions, installPlugin } from './plugins/install';
export type { PluginPlatform } from './plugins/locations';
