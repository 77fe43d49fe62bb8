/**
 * What a compiled program exchanges between devices, read from its HloModuleProto (xla/service/hlo.proto). Programs are those of
 * one device, after partitioning.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { elementBytes, fromPrimitiveType } from './element-types';

/** An exchange between devices. */
export interface Collective {
  /** `all-reduce`, `all-gather`, `reduce-scatter`, `all-to-all` or `collective-permute`. */
  readonly operation: string;
  /** Of the whole that a group exchanges: what is summed, or all parts together. Of a permutation, what each device sends. */
  readonly bytes: number;
  /** Devices by their number in the program: each group exchanges for itself. Of a permutation, pairs from, to. */
  readonly groups: readonly (readonly number[])[];
  /** How often one run does it; once where the program does not say how often a loop runs. */
  readonly times: number;
}

const COLLECTIVE =
  /^(all-reduce|all-gather|reduce-scatter|all-to-all|ragged-all-to-all|collective-permute)(-start)?$/;

/** Fields of HloModuleProto and what it is made of. */
const MODULE = { computations: 3, entry: 6 } as const;
const COMPUTATION = { instructions: 2, id: 5 } as const;
const INSTRUCTION = {
  opcode: 2,
  shape: 3,
  called: 38,
  config: 43,
  groups: 49,
  pairs: 52,
  deviceList: 87,
  meshAxes: 93,
} as const;

/**
 * The exchanges of one run of a program.
 *
 * @param module an HloModuleProto
 * @param devices that the program is partitioned over: an exchange without groups is among all of them
 */
export function collectivesOf(module: Uint8Array, devices: number): Collective[] {
  const computations = new Map<number, readonly Message[]>();
  const { messages, numbers } = read(module);
  for (const bytes of messages(MODULE.computations)) {
    const computation = read(bytes);
    computations.set(
      computation.numbers(COMPUTATION.id)[0] ?? 0,
      computation.messages(COMPUTATION.instructions).map(read),
    );
  }
  const found = new Map<Message, Collective>();
  const visit = (id: number, times: number): void => {
    for (const instruction of computations.get(id) ?? []) {
      const opcode = instruction.text(INSTRUCTION.opcode);
      const kind = COLLECTIVE.exec(opcode);
      if (kind) {
        const before = found.get(instruction)?.times ?? 0;
        found.set(instruction, {
          ...exchange(kind[1]!, kind[2] !== undefined, instruction, devices),
          times: before + times,
        });
        continue;
      }
      if (opcode === 'fusion') continue;
      // The condition of a loop exchanges nothing.
      const inside = opcode === 'while' ? times * tripCount(instruction) : times;
      for (const called of instruction.numbers(INSTRUCTION.called)) visit(called, inside);
    }
  };
  visit(numbers(MODULE.entry)[0] ?? 0, 1);
  return [...found.values()];
}

function exchange(
  operation: string,
  starts: boolean,
  instruction: Message,
  devices: number,
): Omit<Collective, 'times'> {
  const groups = operation === 'collective-permute' ? pairsOf(instruction) : groupsOf(instruction, devices);
  const size = groups[0]?.length ?? 1;
  const shape = instruction.messages(INSTRUCTION.shape)[0] ?? new Uint8Array();
  // What starts apart from its end gives its operands before its results.
  const result = starts && operation !== 'all-reduce' ? (members(shape)[1] ?? shape) : shape;
  const parts = operation === 'reduce-scatter' ? size : 1;
  return { operation, bytes: parts * bytesOf(result), groups };
}

/** ReplicaGroups, an arrangement of all devices that is cut into equal groups, or axes of a mesh, by plugin. */
function groupsOf(instruction: Message, devices: number): number[][] {
  const [list] = instruction.messages(INSTRUCTION.deviceList).map(read);
  const listed = [...instruction.messages(INSTRUCTION.groups), ...(list?.messages(1) ?? [])];
  const groups = listed.map((group) => read(group).numbers(1)).filter((group) => group.length > 0);
  if (groups.length > 0) return groups;
  const [axes] = instruction.messages(INSTRUCTION.meshAxes).map(read);
  if (axes) return alongAxes(axes);
  const [iota] = (list?.messages(2) ?? []).map(read);
  if (!iota) return [Array.from({ length: devices }, (_, i) => i)];
  const [size = devices] = iota.numbers(2);
  const order = transposed(iota.numbers(3), iota.numbers(4));
  return Array.from({ length: order.length / size }, (_, i) => order.slice(i * size, (i + 1) * size));
}

/** MeshAxesReplicaGroupListProto: groups of devices that differ along some axes of a mesh, or along factors of axes, alone. */
function alongAxes({ messages }: Message): number[][] {
  const [mesh] = messages(1).map(read);
  const sizes = (mesh?.messages(1) ?? []).map((axis) => read(axis).numbers(2)[0] ?? 1);
  // Each axis in factors, of which some are named.
  const factors = sizes.map((size) => [{ size, before: 1 }]);
  const named = messages(2).map((bytes) => {
    const { numbers, messages: inner } = read(bytes);
    const axis = numbers(1)[0] ?? 0;
    const [part] = inner(2).map(read);
    if (!part) return { axis, before: 1 };
    const [before = 1, size = 1] = [part.numbers(1)[0], part.numbers(2)[0]];
    const rest = sizes[axis]! / (before * size);
    factors[axis] = [
      { size: before, before: 1 },
      { size, before },
      { size: rest, before: before * size },
    ].filter((factor) => factor.size > 1);
    return { axis, before };
  });
  const dims = factors.flatMap((parts, axis) => parts.map((part) => ({ ...part, axis })));
  const isNamed = dims.map(({ axis, before }) =>
    named.some((one) => one.axis === axis && one.before === before),
  );
  const chosen = named.map((one) =>
    dims.findIndex(({ axis, before }) => one.axis === axis && one.before === before),
  );
  const others = dims.flatMap((_, i) => (isNamed[i] ? [] : [i]));
  const order = transposed(
    dims.map(({ size }) => size),
    [...others, ...chosen],
  );
  const size = chosen.reduce((product, i) => product * dims[i]!.size, 1);
  return Array.from({ length: order.length / size }, (_, i) => order.slice(i * size, (i + 1) * size));
}

/** 0, 1, 2, … arranged in `dims`, whose axes are then put in the order `permutation`. */
function transposed(dims: readonly number[], permutation: readonly number[]): number[] {
  const strides = dims.map((_, i) => dims.slice(i + 1).reduce((product, dim) => product * dim, 1));
  const order = permutation.length > 0 ? permutation : dims.map((_, i) => i);
  return order.reduce<number[]>(
    (all, axis) =>
      all.flatMap((at) => Array.from({ length: dims[axis]! }, (_, i) => at + i * strides[axis]!)),
    [0],
  );
}

const pairsOf = (instruction: Message): number[][] =>
  instruction.messages(INSTRUCTION.pairs).map((pair) => {
    const { numbers } = read(pair);
    return [numbers(1)[0] ?? 0, numbers(2)[0] ?? 0];
  });

/** Of a loop whose length XLA knows. */
function tripCount(instruction: Message): number {
  const found = /"known_trip_count":\{"n":"?(\d+)/.exec(instruction.text(INSTRUCTION.config));
  return found ? Number(found[1]) : 1;
}

/** The members of a tuple's ShapeProto. */
const members = (shape: Uint8Array): Uint8Array[] => read(shape).messages(4);

/** Bytes of a ShapeProto: of an array, or of all members of a tuple. */
function bytesOf(shape: Uint8Array): number {
  const { messages, numbers } = read(shape);
  const inside = messages(4);
  if (inside.length > 0) return inside.reduce((sum, member) => sum + bytesOf(member), 0);
  const element = fromPrimitiveType(numbers(2)[0] ?? 0);
  return element === undefined
    ? 0
    : numbers(3).reduce((product, dim) => product * dim, elementBytes(element));
}

/** A message whose fields are looked at by number. */
interface Message {
  /** Contents of length-delimited fields. */
  messages(field: number): Uint8Array[];
  /** Whole numbers, packed or not. */
  numbers(field: number): number[];
  text(field: number): string;
}

function read(message: Uint8Array): Message {
  const bytes = new Map<number, Uint8Array[]>();
  const whole = new Map<number, number[]>();
  const reader = new BinaryReader(message);
  const add = <T>(to: Map<number, T[]>, field: number, value: T) => {
    const values = to.get(field);
    if (values) values.push(value);
    else to.set(field, [value]);
  };
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (wire === WireType.LengthDelimited) add(bytes, field, reader.bytes());
    else if (wire === WireType.Varint) add(whole, field, Number(reader.int64()));
    else reader.skip(wire, field);
  }
  return {
    messages: (field) => bytes.get(field) ?? [],
    numbers: (field) => [...(whole.get(field) ?? []), ...(bytes.get(field) ?? []).flatMap(packed)],
    text: (field) => new TextDecoder().decode(bytes.get(field)?.[0]),
  };
}

function packed(bytes: Uint8Array): number[] {
  const reader = new BinaryReader(bytes);
  const values: number[] = [];
  while (reader.pos < reader.len) values.push(Number(reader.int64()));
  return values;
}
