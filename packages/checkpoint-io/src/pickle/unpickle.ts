import { PickleBudget } from './budget';
import { PickleMachine } from './machine';
import { OPCODES, STOP } from './opcodes';
import { PickleReader } from './reader';
import type { PickleHost } from './values';

export interface UnpickleOptions {
  /** What errors call the bytes. */
  readonly name?: string;
  /** Where the pickle starts in `bytes`. */
  readonly start?: number;
  /** Offset of `bytes[0]` in the file. */
  readonly base?: number;
  /** Size of the whole file, for the memory bound; the bytes' length by default. */
  readonly fileBytes?: number;
}

export interface Unpickled {
  readonly value: unknown;
  /** Position in `bytes` behind the pickle. */
  readonly end: number;
}

/**
 * Reads one pickle of protocols 2 to 5. It can build numbers, strings, bytes (Uint8Array), lists (arrays),
 * {@link PickleTuple}, dictionaries (Map) and sets, whatever the host's allow-listed globals return, and
 * {@link PickleForeign} where the host lets an unknown global stand for itself; nothing is imported, looked up or run.
 *
 * @throws {CheckpointError} for any other opcode, and for what does not fit, with the offset of the opcode's end
 */
export function readPickle(bytes: Uint8Array, host: PickleHost, options: UnpickleOptions = {}): Unpickled {
  const reader = new PickleReader(options.name ?? 'pickle', bytes, options.base, options.start);
  const machine = new PickleMachine(reader, new PickleBudget(options.fileBytes ?? bytes.length), host);
  for (;;) {
    const opcode = reader.u8();
    if (opcode === STOP) return { value: machine.finish(), end: reader.position };
    const step = OPCODES.get(opcode);
    if (step) step(machine);
    else unsupported(reader, opcode);
  }
}

function unsupported(reader: PickleReader, opcode: number): never {
  return reader.fail(`pickle opcode 0x${opcode.toString(16).padStart(2, '0')} is not supported`);
}
