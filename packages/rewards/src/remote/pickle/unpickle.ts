import { Machine } from './machine';
import { OPCODES } from './opcodes';
import { checkNesting, PickleError } from './values';

/**
 * Reads a pickle of protocol 0 to 5 that holds plain data: None (null), bool, int (bigint beyond 2^53),
 * float, str, bytes and bytearray (Uint8Array), list, tuple ({@link PyTuple}), dict (Map, insertion order),
 * set and frozenset (Set), numpy scalars (as plain values) and arrays ({@link NdArray}). Nothing is
 * imported, looked up or run: every other global, opcode, persistent id or state is refused, as are values
 * that contain themselves and bytes behind the end.
 *
 * @throws PickleError
 */
export function unpickle(bytes: Uint8Array): unknown {
  const machine = new Machine(bytes);
  const { cursor } = machine;
  for (let opcode = cursor.u8(); opcode !== STOP; opcode = cursor.u8()) {
    const step = OPCODES.get(opcode);
    if (!step) {
      const code = `0x${opcode.toString(16).padStart(2, '0')}`;
      throw new PickleError(`pickle opcode ${code} at byte ${cursor.position - 1} is not allowed`);
    }
    step(machine);
  }
  const value = machine.finish();
  checkNesting(value);
  return value;
}

const STOP = 0x2e;
