import { type ByteSource, DTYPE_BYTES, readRange } from '../bytes';
import { CheckpointError } from '../errors';
import { unpickle } from '../pickle/index';
import { torchHost } from './globals';
import { readZip } from './zip';

const PICKLE = 'data.pkl';

/** The object in a `torch.save` zip: `NAME/data.pkl` beside one file a storage. Reads no storage. */
export async function readTorchZip(source: ByteSource): Promise<unknown> {
  const entries = await readZip(source);
  const pickle = [...entries.values()].find(({ name }) => name === PICKLE || name.endsWith(`/${PICKLE}`));
  if (!pickle)
    throw new CheckpointError(source.name, `is a zip without ${PICKLE}, so not a torch checkpoint`, 0);
  const folder = pickle.name.slice(0, -PICKLE.length);

  const order = entries.get(`${folder}byteorder`);
  if (order) {
    const text = new TextDecoder().decode(await readRange(source, order.offset, Math.min(order.size, 16)));
    if (text.trim() !== 'little')
      throw new CheckpointError(source.name, `has the byte order '${text}'`, order.offset);
  }
  const host = torchHost(({ key, dtype, elements }) => {
    const entry = entries.get(`${folder}data/${key}`);
    if (!entry)
      throw new CheckpointError(source.name, `the storage ${folder}data/${key} is missing`, pickle.offset);
    if (entry.size !== elements * DTYPE_BYTES[dtype]) {
      throw new CheckpointError(
        source.name,
        `storage ${key} has ${entry.size} bytes, ${elements} elements of ${dtype} are declared`,
        entry.offset,
      );
    }
    return { dtype, elements, offset: entry.offset };
  });
  const bytes = await readRange(source, pickle.offset, pickle.size);
  return unpickle(bytes, host, { name: source.name, base: pickle.offset, fileBytes: source.size }).value;
}
