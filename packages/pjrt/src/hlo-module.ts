import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type ArrayShape, fromPrimitiveType } from './element-types';

/**
 * What the compiled module says of itself, read from the HloModuleProto that plugins return as the optimized
 * program (xla/service/hlo.proto, xla/xla_data.proto). After partitioning the shapes are those of one device.
 */
export interface ProgramShape {
  readonly parameters: readonly (ArrayShape | undefined)[];
  readonly results: readonly (ArrayShape | undefined)[];
}

type Visit = (field: number, reader: BinaryReader) => boolean;

/** Calls `visit` for each field; what it does not read (returns false) is skipped. */
function eachField(bytes: Uint8Array, visit: Visit): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (!visit(field, reader)) reader.skip(wire, field);
  }
}

/** `bytes` is an HloModuleProto, or an HloModuleProtoWithConfig when `withConfig`. */
export function moduleBytes(bytes: Uint8Array, format: string): Uint8Array {
  if (format !== 'hlo_with_config') return bytes;
  let module = new Uint8Array();
  eachField(bytes, (field, reader) => {
    if (field !== 1) return false;
    module = new Uint8Array(reader.bytes());
    return true;
  });
  return module;
}

/** The host_program_shape of an HloModuleProto: shapes of parameters and results. */
export function programShape(module: Uint8Array): ProgramShape {
  const parameters: (ArrayShape | undefined)[] = [];
  let results: (ArrayShape | undefined)[] = [];
  eachField(module, (field, reader) => {
    if (field !== 4) return false;
    eachField(reader.bytes(), (inner, shape) => {
      if (inner === 1) parameters.push(readShape(shape.bytes()).array);
      else if (inner === 2) {
        const result = readShape(shape.bytes());
        results = result.tuple ?? [result.array];
      } else return false;
      return true;
    });
    return true;
  });
  return { parameters, results };
}

const TUPLE = 13;

/** A ShapeProto: an array, or the members of a tuple. */
function readShape(bytes: Uint8Array): { array?: ArrayShape; tuple?: (ArrayShape | undefined)[] } {
  let type = 0;
  const dims: number[] = [];
  const members: (ArrayShape | undefined)[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === 2) type = reader.int32();
    else if (field === 3 && wire === 2) {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) dims.push(Number(reader.int64()));
    } else if (field === 3) dims.push(Number(reader.int64()));
    else if (field === 4) members.push(readShape(reader.bytes()).array);
    else reader.skip(wire, field);
  }
  if (type === TUPLE) return { tuple: members };
  const elementType = fromPrimitiveType(type);
  return elementType === undefined ? {} : { array: { elementType, dims: Object.freeze(dims) } };
}
