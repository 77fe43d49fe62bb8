/** Safetensors in a page: the files of the quickstart's model, which hold float16, float32 and int8. */

export interface StoredTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** @throws for another type of number, naming the tensor */
export function parseSafetensors(file: ArrayBuffer): Record<string, StoredTensor> {
  const size = Number(new DataView(file).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, size))) as Header;
  return Object.fromEntries(
    Object.entries(header).flatMap(([name, entry]) => {
      if (name === '__metadata__') return [];
      const [from, to] = entry.data_offsets;
      const bytes = file.slice(8 + size + from, 8 + size + to);
      const read = READERS[entry.dtype];
      if (!read) throw new Error(`${name} is stored as ${entry.dtype}`);
      return [[name, { shape: entry.shape, values: read(bytes) }]];
    }),
  );
}

const READERS: Readonly<Record<string, (bytes: ArrayBuffer) => Float32Array>> = {
  F32: (bytes) => new Float32Array(bytes),
  F16: (bytes) => Float32Array.from(new Uint16Array(bytes), halfToNumber),
  I8: (bytes) => Float32Array.from(new Int8Array(bytes)),
};

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

/** What is written to a file. */
export interface PlainTensor {
  readonly dtype: 'F32' | 'I8';
  readonly shape: readonly number[];
  readonly values: Float32Array | Int8Array;
}

export function encodeSafetensors(tensors: Readonly<Record<string, PlainTensor>>): Uint8Array {
  const header: Header = {};
  let end = 0;
  for (const [name, { dtype, shape, values }] of Object.entries(tensors)) {
    header[name] = { dtype, shape: [...shape], data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(8 + padded + end).fill(0x20, 8, 8 + padded);
  new DataView(file.buffer).setBigUint64(0, BigInt(padded), true);
  file.set(text, 8);
  for (const [name, { values }] of Object.entries(tensors)) {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    file.set(bytes, 8 + padded + header[name]!.data_offsets[0]);
  }
  return file;
}
