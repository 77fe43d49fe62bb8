import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type FixtureArray = Float32Array | Float64Array | BigInt64Array | Int32Array | Uint8Array;

/** One tensor of a fixture file: values in row-major order. 16-bit floats arrive widened to float32. */
export interface FixtureTensor {
  shape: number[];
  dtype: string;
  data: FixtureArray;
}

/** The folder of parity numbers: `FLOW_GRPO_FIXTURES`, or, where that is unset or empty, the repository's own copy. */
export function fixturesRoot(): string {
  return process.env.FLOW_GRPO_FIXTURES || fileURLToPath(new URL('../../../fixtures', import.meta.url));
}

/**
 * The case folders whose name starts with `prefix`, as absolute paths. Throws when there is none: a parity
 * suite without its cases must fail, not pass by testing nothing.
 */
export function fixtureCases(prefix: string): { name: string; dir: string }[] {
  const root = fixturesRoot();
  const cases = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name.startsWith(prefix))
    .map((entry) => ({ name: entry.name, dir: join(root, entry.name) }));
  if (cases.length === 0) throw new Error(`No fixture case named ${prefix}* in ${root}`);
  return cases;
}

/** A JSON file of a case, such as its `case.json`. The caller names the type it expects. */
export function readJson<T>(dir: string, file: string): T {
  return JSON.parse(readFileSync(join(dir, file), 'utf8')) as T;
}

/**
 * Reads a safetensors file. Kept apart from packages/checkpoint-io on purpose, so that a fault there cannot
 * hide itself by reading the expected numbers wrongly too.
 */
export function readTensors(dir: string, file: string): Record<string, FixtureTensor> {
  const bytes = readFileSync(join(dir, file));
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors: Record<string, FixtureTensor> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [start, end] = entry.data_offsets;
    const body = new Uint8Array(bytes.subarray(8 + headerLength + start, 8 + headerLength + end)).buffer;
    tensors[name] = { shape: entry.shape, dtype: entry.dtype, data: decode(entry.dtype, body) };
  }
  return tensors;
}

function decode(dtype: string, body: ArrayBuffer): FixtureArray {
  switch (dtype) {
    case 'F32':
      return new Float32Array(body);
    case 'F64':
      return new Float64Array(body);
    case 'I64':
      return new BigInt64Array(body);
    case 'I32':
      return new Int32Array(body);
    case 'U8':
    case 'BOOL':
      return new Uint8Array(body);
    case 'F16':
      return Float32Array.from(new Uint16Array(body), halfToFloat);
    case 'BF16': {
      const widened = Uint32Array.from(new Uint16Array(body), (bits) => bits << 16);
      return new Float32Array(widened.buffer);
    }
    default:
      throw new Error(`Fixture dtype ${dtype} is not known to the test support`);
  }
}

function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Fixture values as plain numbers (int64 included). */
export function numbers(tensor: FixtureTensor): number[] {
  return Array.from(tensor.data as ArrayLike<number | bigint>, Number);
}
