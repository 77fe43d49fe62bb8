/** What a compiled program exchanges between devices, read from its HLO (xla/service/hlo.proto). */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

export interface Collective {
  /** `all-reduce`, `all-gather`, `reduce-scatter`, … */
  readonly opcode: string;
  /** Of its results on one device. */
  readonly elements: number;
}

const COLLECTIVES = /^(all-|reduce-scatter|collective-|ragged-all-)/;

/**
 * The exchanges that are written in a program, each once, in loops too; those that start and end apart count as the former.
 *
 * @param program as `PjrtExecutable.optimizedProgram` gives it
 */
export function collectivesOf({ format, bytes }: { format: string; bytes: Uint8Array }): Collective[] {
  const module = format === 'hlo_with_config' ? fields(bytes, 1)[0]! : bytes;
  return fields(module, 3)
    .flatMap((computation) => fields(computation, 2))
    .map((instruction) => ({
      opcode: new TextDecoder().decode(fields(instruction, 2)[0]),
      elements: elementsOf(fields(instruction, 3)[0]!),
    }))
    .filter(({ opcode }) => COLLECTIVES.test(opcode) && !opcode.endsWith('-done'));
}

/** Contents of all length-delimited fields with this number. */
function fields(message: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === wanted && wire === WireType.LengthDelimited) found.push(reader.bytes());
    else reader.skip(wire, field);
  }
  return found;
}

/** Elements of a ShapeProto: of an array, or of all members of a tuple. */
function elementsOf(shape: Uint8Array): number {
  const members = fields(shape, 4);
  if (members.length > 0) return members.reduce((sum, member) => sum + elementsOf(member), 0);
  let elements = 1;
  const reader = new BinaryReader(shape);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field !== 3) reader.skip(wire, field);
    else if (wire === WireType.Varint) elements *= Number(reader.int64());
    else {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) elements *= Number(reader.int64());
    }
  }
  return elements;
}
