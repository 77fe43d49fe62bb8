import { type PickleHost, PickleTuple } from '../pickle/index';
import { GLOBALS } from './globals';
import { type Storage, type StorageType, TorchTensor, UnsupportedTensor } from './storage';
import { TorchStorageClass } from './values';

/** A storage as a persistent id declares it. */
export interface StorageId {
  readonly key: string;
  readonly type: StorageType;
  readonly elements: number;
}

/** Python 2's names of modules that torch's protocol 2 pickles keep. */
const RENAMED: Readonly<Record<string, string>> = { __builtin__: 'builtins', copy_reg: 'copyreg' };

/** What only an attack names in a checkpoint. Nothing would run here, but such a file deserves no trust. */
const HOSTILE =
  /^(os|posix|nt|subprocess|pty|runpy|socket|shutil|importlib)(\.|$)|^builtins\.(eval|exec|execfile|compile|open|__import__)$/;

/** The host of torch's pickles: its allow-list, stubs for other classes, and storages found by `find`, one per key. */
export function torchHost(
  find: (id: StorageId) => Storage,
): PickleHost & { readonly storages: ReadonlyMap<string, Storage> } {
  const known = new Map<string, Storage>();
  const nameOf = (module: string, name: string) =>
    `${Object.hasOwn(RENAMED, module) ? RENAMED[module] : module}.${name}`;
  return {
    storages: known,
    global: (module, name) => GLOBALS.get(nameOf(module, name)),
    foreign: (module, name) => !HOSTILE.test(nameOf(module, name)),
    // Attributes of parameters and tensors say nothing about their values.
    build: (object) => {
      if (object instanceof TorchTensor || object instanceof UnsupportedTensor) return;
      throw new TypeError('the pickle sets the state of an object, which is not allowed');
    },
    persistent: (id) => {
      const [kind, type, key, , elements, view] = id instanceof PickleTuple ? id.items : [];
      // Legacy files of whole modules keep their class with its source.
      if (kind === 'module') return type;
      if (kind !== 'storage' || !(type instanceof TorchStorageClass) || typeof key !== 'string') {
        throw new TypeError('a persistent id is not that of a storage');
      }
      if (!Number.isSafeInteger(elements) || (elements as number) < 0) {
        throw new TypeError(`storage ${key} has an impossible size`);
      }
      if (view !== undefined && view !== null) throw new TypeError('views of storages are not supported');
      const earlier = known.get(key);
      if (earlier) {
        if (earlier.type.name !== type.type.name || earlier.elements !== elements) {
          throw new TypeError(`storage ${key} is declared twice with different types or sizes`);
        }
        return earlier;
      }
      const storage = find({ key, type: type.type, elements: elements as number });
      known.set(key, storage);
      return storage;
    },
  };
}
