import type { PinnedWheel } from './wheel';

/**
 * XLA's CUDA 13 plugin and the NVIDIA libraries that its RPATH names (nvidia/cu13/lib, nvidia/cudnn/lib,
 * nvidia/nccl/lib): the versions are the lowest that jax-cuda13-plugin 0.11.2 requires, which belong to CUDA 13.0.
 */
const WHEELS: readonly [name: string, version: string, x86: string, arm: string][] = [
  [
    'jax-cuda13-pjrt',
    '0.11.2',
    'e5ff589d43064913bb74027682d89639c7ea48f9f81c2bae6fc75117e913f93e',
    '63b55e50e5c2583a25e196ba06b034b63d2b2d8ad4c2f17935652c8d3ad2dd2d',
  ],
  [
    'nvidia-cublas',
    '13.0.0.19',
    'f6723af2e8e2600a11dc384037d90d9bf93070e346c24ef2e8f9001658c99896',
    '381b1a0ca636fdcb6920a871e8fc89dbfd1f6157f421ed0a6f2673e14cffd3bd',
  ],
  [
    'nvidia-cuda-cupti',
    '13.0.48',
    '417699e216b23d81bc0bbcb7032352f81b9c5372ef73c097a01abb83125a3d09',
    '67c22627ef436afcf080b48e4ad17b3f83d9e7c0d990ad0c6c0627b01fb92ccc',
  ],
  [
    'nvidia-cuda-nvcc',
    '13.0.48',
    'd529c52d30c403cbf6fb17a3009530a48d94ea3ad99c990ad0301d9c744eb866',
    '1e6175505a1350346b4726a9ce0d5b47f620852c3207d31e8678bf22b63da840',
  ],
  [
    'nvidia-cuda-runtime',
    '13.0.48',
    '5b54d12087a1abff81a4cbfa6556876e3afea1fc60da2e0816da374619810c89',
    'b807c0bb925a307bfa667a24f24d253aef8eda3ac4be66b333f2c9d357557008',
  ],
  [
    'nvidia-cudnn-cu13',
    '9.12.0.46',
    'f3befad533e234069eb61ae0d12cb7aa8af0ccf36f28c1d4273cc0005d990de0',
    '62e8441f9693547fe72108b1974fb82fde9a89d6dcb7b7d117ce8969d08e08e3',
  ],
  [
    'nvidia-cufft',
    '12.0.0.15',
    '9f160b1f018e80bcb0d7c0fa50564b042fa26b13edc1b1ff14b6375a9edd2812',
    '1885731254835797572ff075f3daf43a2a0a2801210dea26971940dae7e1a367',
  ],
  [
    'nvidia-cusolver',
    '12.0.3.29',
    '6f54c2eed5edab54c224dd1852dde80ba76b2b78e6d3ce7344fef5dfc66d16ab',
    '3bb6e65ce0beaeafdd069b320246e8f17c1cd30ddb27a0539143a3706733a4d8',
  ],
  [
    'nvidia-cusparse',
    '12.6.2.49',
    'efcf0b01e3a0827c144feff5391456b8a06e9ce63dcd51c0943e32e605251952',
    '5d3269c19283a0057fb5ebfb003ae2a10c97a28a6958f4238354826b055827c7',
  ],
  [
    'nvidia-nccl-cu13',
    '2.27.7',
    'b28a524abd8389b76a4a3f133c76a7aaa7005e47fcaa9d9603b90103927a3f93',
    '5e3cc863e52bf9dd1e3ab1941bddb414098f489ae7342f6b3a274602303da123',
  ],
  [
    'nvidia-nvjitlink',
    '13.0.39',
    'bc3179be558329ef9687884c6faa27cdc0659bdbc642432ec8cc6cc00d182627',
    'ce0d63fa5ebedf542056e7491c49feed2297c900980aa6269b6a55f478056ad7',
  ],
  [
    'nvidia-cuda-nvrtc',
    '13.0.48',
    '87e13d186905a35e7c04ad553a2abded0fba22f93b43d02e5da6f6cf73fb4d0a',
    '6ccf1ef1b90a0763ac7536f3c17046659d89869d76b98ac358efc2e09b348365',
  ],
  [
    'nvidia-nvshmem-cu13',
    '3.3.20',
    'e9d4bd6a01e6a2745903b5b7347fce5b0dddee0db95950fba313dd47c6990b5b',
    'd40818fd6f1267c306df06f943b66b4b95a554f1b8dc7da81e0232266f868945',
  ],
  [
    'nvidia-nvvm',
    '13.0.48',
    'a7cf76afc14682c46d43d5cdc370fc1da69cb84270e6854c6b3869584ecbd483',
    'c3c66534efdd8de8b07e3a7119813d1b7d59a51c7a5d7dac228c06d0cab4eea0',
  ],
];

/** The wheels for one architecture, as wheel tags name it; the plugin comes first. */
export const cudaWheels = (architecture: 'x86_64' | 'aarch64'): PinnedWheel[] =>
  WHEELS.map(([name, version, x86, arm]) => ({
    name,
    version,
    sha256: architecture === 'x86_64' ? x86 : arm,
  }));
