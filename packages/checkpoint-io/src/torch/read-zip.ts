import { type ByteSource, readRange } from '../bytes';
import { CheckpointError } from '../errors';
import { readPickle } from '../pickle/index';
import { torchHost } from './host';
import { Storage } from './storage';
import { readZip } from './zip';

const PICKLE = 'data.pkl';

/** The object in a `torch.save` zip: `NAME/data.pkl` beside one file a storage. Reads no storage. */
export async function readTorchZip(source: ByteSource): Promise<unknown> {
  const entries = await readZip(source);
  const pickle = [...entries.values()].find(({ name }) => name === PICKLE || name.endsWith(`/${PICKLE}`));
  if (!pickle) {
    const isNumpy = [...entries.keys()].some((name) => name.endsWith('.npy'));
    const what = isNumpy ? 'is a NumPy archive (.npz)' : `is a zip without ${PICKLE}`;
    throw new CheckpointError(source.name, `${what}, so not a torch checkpoint`, 0);
  }
  const folder = pickle.name.slice(0, -PICKLE.length);
  if (entries.has(`${folder}constants.pkl`)) {
    throw new CheckpointError(
      source.name,
      'is a TorchScript archive: load it with torch.jit.load and save its state_dict()',
      0,
    );
  }
  const compressed = [...entries.values()].find(({ isCompressed }) => isCompressed);
  if (compressed) {
    const problem = `${compressed.name} is compressed, which torch never does: unpack and save it again`;
    throw new CheckpointError(source.name, problem, compressed.offset);
  }

  const order = entries.get(`${folder}byteorder`);
  if (order) {
    const text = new TextDecoder().decode(await readRange(source, order.offset, Math.min(order.size, 16)));
    if (text.trim() !== 'little')
      throw new CheckpointError(source.name, `has the byte order '${text}'`, order.offset);
  }
  const host = torchHost(({ key, type, elements }) => {
    const entry = entries.get(`${folder}data/${key}`);
    if (!entry)
      throw new CheckpointError(source.name, `the storage ${folder}data/${key} is missing`, pickle.offset);
    const storage = new Storage(type, elements, entry.offset);
    if (entry.size !== storage.byteLength) {
      throw new CheckpointError(
        source.name,
        `storage ${key} has ${entry.size} bytes, ${elements} elements of ${type.name} are declared`,
        entry.offset,
      );
    }
    return storage;
  });
  const bytes = await readRange(source, pickle.offset, pickle.size);
  return readPickle(bytes, host, { name: source.name, base: pickle.offset, fileBytes: source.size }).value;
}
