import type { ByteSource, StoredTensor } from '../bytes';
import { readTorchLegacy } from './read-legacy';
import { readTorchZip } from './read-zip';
import { findStateDict } from './state-dict';

/** The tensors of a PyTorch file, zip or legacy. Throws a {@link CheckpointError}. Runs nothing. */
export async function readTorch(
  source: ByteSource,
  isZip: boolean,
  root?: readonly string[],
): Promise<{ tensors: Map<string, StoredTensor>; metadata: Record<string, unknown> }> {
  const value = await (isZip ? readTorchZip(source) : readTorchLegacy(source));
  const { tensors, metadata } = findStateDict(source.name, value, root);
  return {
    tensors: new Map([...tensors].map(([name, tensor]) => [name, tensor.locate(source)])),
    metadata,
  };
}
