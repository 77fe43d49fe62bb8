/** Bytes needed to tell formats apart. */
export const SNIFFED_BYTES = 512;

const text = (value: string) => [...Buffer.from(value, 'latin1')];

/** What files of other kinds start with, at an offset, and what to call them. */
const SIGNATURES: readonly (readonly [bytes: readonly number[], what: string, at?: number])[] = [
  [
    text('version https://git-lfs'),
    'is a Git LFS pointer, not the file itself: run `git lfs pull` or download the file',
  ],
  [[0x1f, 0x8b], 'is compressed with gzip: unpack it first'],
  [text('BZh'), 'is compressed with bzip2: unpack it first'],
  [[0xfd, ...text('7zXZ')], 'is compressed with xz: unpack it first'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'is compressed with zstd: unpack it first'],
  [[...text('7z'), 0xbc, 0xaf], 'is a 7z archive: unpack it first'],
  [text('Rar!'), 'is a RAR archive: unpack it first'],
  [text('GGUF'), 'is a GGUF file, whose quantised weights are not read'],
  [[0x89, ...text('HDF')], 'is an HDF5 file (Keras), which is not read'],
  [[0x93, ...text('NUMPY')], 'is a NumPy array (.npy), which is not read'],
  [text('TFL3'), 'is a TensorFlow Lite model, which is not read', 4],
  [text('ustar'), 'is a tar archive (torch before 0.1.10, or others), which is not read', 257],
  [text('%PDF'), 'is a PDF'],
];

/**
 * What a file is that is no checkpoint, by its first {@link SNIFFED_BYTES}: a download that went wrong, an archive, or
 * another framework's format. Undefined when nothing is recognised.
 */
export function foreignFormat(start: Uint8Array): string | undefined {
  if (start.length === 0) return 'is empty';
  const known = SIGNATURES.find(([bytes, , at = 0]) => bytes.every((byte, i) => start[at + i] === byte));
  if (known) return known[1];
  if (start.every((byte) => byte === 0)) return 'starts with zeros alone: the download is damaged';
  const head = Buffer.from(start)
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()
    .toLowerCase();
  if (/^<(!doctype html|html|head|body|!--)/.test(head)) {
    return 'is an HTML page, not a checkpoint: the address or the login it was downloaded with is wrong';
  }
  if (/^<\?xml|^<error>/.test(head)) return 'is an XML document, such as the error of a storage server';
  if (/^[{[]["\s}\]]/.test(head)) return 'is a JSON document, not a checkpoint';
  if (isOnnx(start)) return 'is an ONNX model: load the PyTorch or safetensors weights it was made from';
  return undefined;
}

/** ONNX has no signature: a protobuf message whose first field is a small version, followed by the producer or graph. */
function isOnnx(start: Uint8Array): boolean {
  const [tag, version, next] = start;
  return (
    tag === 0x08 && version! > 0 && version! < 32 && [0x12, 0x1a, 0x22, 0x28, 0x3a, 0x42].includes(next!)
  );
}
