/** What a plugin computes on. */
export type PluginPlatform = 'cpu' | 'cuda';

/** Where, under a Python environment's site-packages, which wheel keeps its plugin. Earlier is better. */
export const WHEEL_PATHS: readonly { platform: PluginPlatform; path: string }[] = [
  { platform: 'cuda', path: 'jax_plugins/xla_cuda13/xla_cuda_plugin.so' },
  { platform: 'cuda', path: 'jax_plugins/xla_cuda12/xla_cuda_plugin.so' },
  { platform: 'cpu', path: 'lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so' },
  { platform: 'cpu', path: 'fastatomstruct_xla_cpu/libpjrt_cpu.so' },
  { platform: 'cpu', path: 'xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so' },
];

/** What a library computes on, told by its path: CUDA's plugins have cuda in their name. */
export const platformOfPath = (path: string): PluginPlatform => (/cuda|gpu/i.test(path) ? 'cuda' : 'cpu');
