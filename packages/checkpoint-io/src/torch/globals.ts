import { type PickleGlobal, PickleTuple } from '../pickle/index';
import { STORAGE_TYPES, TORCH_DTYPES } from './dtypes';
import {
  buildCounter,
  encode,
  items,
  orderedDict,
  parameter,
  rebuildFromType,
  rebuildTensor,
  rebuildTensorV3,
  rebuildToDevice,
  unsupported,
} from './rebuild';
import { TorchConstant, TorchDtype, TorchStorageClass, TorchTensorClass } from './values';

const TENSOR_TYPES = ['BFloat16', 'Bool', 'Byte', 'Char', 'Double', 'Float', 'Half', 'Int', 'Long', 'Short'];
const QSCHEMES = [
  ...['per_tensor_affine', 'per_tensor_symmetric', 'per_channel_affine', 'per_channel_symmetric'],
  'per_channel_affine_float_qparams',
];

/** `torch.device('cuda', 0)` and the like, by their text. */
const device = (args: readonly unknown[]) => new TorchConstant(args.map(String).join(':'));

/**
 * Everything a torch checkpoint may name and have made: what torch.load allows with weights_only
 * (torch/_weights_only_unpickler.py), `collections.defaultdict` and the older names of the same.
 */
export const GLOBALS: ReadonlyMap<string, PickleGlobal> = new Map<string, PickleGlobal>([
  ['collections.OrderedDict', { call: orderedDict }],
  ['collections.defaultdict', { call: () => new Map() }],
  ['collections.Counter', { call: buildCounter }],
  ['builtins.set', { call: ([values]) => new Set(items(values ?? [])) }],
  ['builtins.frozenset', { call: ([values]) => new Set(items(values ?? [])) }],
  ['builtins.bytearray', { call: encode }],
  ['builtins.complex', { call: ([real, imag]) => new PickleTuple([real, imag]) }],
  ['_codecs.encode', { call: encode }],
  ['torch._utils._rebuild_tensor', { call: rebuildTensor }],
  ['torch._utils._rebuild_tensor_v2', { call: rebuildTensor }],
  ['torch._utils._rebuild_tensor_v3', { call: rebuildTensorV3 }],
  ['torch._utils._rebuild_parameter', { call: parameter }],
  ['torch._utils._rebuild_parameter_with_state', { call: parameter }],
  ['torch.nn.parameter.Parameter', new TorchTensorClass('torch.nn.parameter.Parameter', parameter)],
  ['torch.nn.parameter.Buffer', new TorchTensorClass('torch.nn.parameter.Buffer', parameter)],
  ['torch._tensor._rebuild_from_type_v2', { call: (args) => rebuildFromType(GLOBALS, args) }],
  ['torch._utils._rebuild_device_tensor_from_cpu_tensor', { call: rebuildToDevice }],
  ['torch._utils._rebuild_device_tensor_from_numpy', { call: unsupported('a tensor kept as a NumPy array') }],
  ['torch._utils._rebuild_qtensor', { call: unsupported('a quantised tensor') }],
  ['torch._utils._rebuild_sparse_tensor', { call: unsupported('a sparse tensor') }],
  ['torch._utils._rebuild_nested_tensor', { call: unsupported('a nested tensor') }],
  ['torch._utils._rebuild_meta_tensor_no_storage', { call: unsupported('a meta tensor without values') }],
  ['torch._utils._rebuild_wrapper_subclass', { call: unsupported('a wrapper of other tensors') }],
  ['torch.serialization._get_layout', { call: ([name]) => new TorchConstant(String(name)) }],
  ['torch.Size', { call: ([shape]) => items(shape ?? new PickleTuple([])) }],
  ['torch.device', { call: device }],
  ['torch.Tensor', new TorchTensorClass('torch.Tensor')],
  ...TENSOR_TYPES.flatMap((type) =>
    ['torch', 'torch.cuda', 'torch.sparse', 'torch.cuda.sparse'].map((module): [string, PickleGlobal] => {
      const name = `${module}.${type}Tensor`;
      return [name, new TorchConstant(name)];
    }),
  ),
  ...QSCHEMES.map((name): [string, PickleGlobal] => [`torch.${name}`, new TorchConstant(`torch.${name}`)]),
  ...[...TORCH_DTYPES].map(([name, dtype]): [string, PickleGlobal] => [
    `torch.${name}`,
    new TorchDtype(`torch.${name}`, dtype),
  ]),
  ...[...STORAGE_TYPES].map(([name, type]): [string, PickleGlobal] => [name, new TorchStorageClass(type)]),
]);
