import type { PjrtApi } from './api';
import { isBuffer, type PjrtBuffer } from './buffer';
import type { PjrtDevice } from './device';
import { type ArrayShape, formatShape } from './element-types';
import { invalid, type PjrtError } from './errors';
import type { Words } from './ffi/words';
import type { ProgramShape } from './hlo-module';

const EXECUTE_WORDS = 10;
/** 128 bytes: more than any known version of PJRT_ExecuteOptions; older plugins accept larger structs. */
const OPTIONS_WORDS = 16;

/**
 * Native memory of a program's calls, laid out once: only the buffer pointers and options change from run to run.
 *
 * PJRT_LoadedExecutable_Execute_Args, PJRT_ExecuteOptions, then per device the pointer to its argument list and to its
 * output list, then the lists, one event per device (the end of the run there), and the indices of kept arguments.
 */
export class CallFrame {
  private readonly words: Words;
  private readonly firstArgument: number;
  private readonly firstOutput: number;
  private readonly firstEvent: number;
  private readonly nonDonatable: number;

  constructor(
    api: PjrtApi,
    executable: number,
    private readonly numDevices: number,
    private readonly shape: ProgramShape,
  ) {
    const { parameters, results } = shape;
    const lists = EXECUTE_WORDS + OPTIONS_WORDS;
    this.firstArgument = lists + 2 * numDevices;
    this.firstOutput = this.firstArgument + numDevices * parameters.length;
    this.firstEvent = this.firstOutput + numDevices * results.length;
    this.nonDonatable = this.firstEvent + numDevices;
    this.words = api.words(this.nonDonatable + Math.max(1, parameters.length));
    const { words } = this;
    const address = (index: number) => words.address + index * 8;
    for (let i = 0; i < numDevices; i++) {
      words.set(lists + i, address(this.firstArgument + i * parameters.length));
      words.set(lists + numDevices + i, address(this.firstOutput + i * results.length));
    }
    words.set(0, EXECUTE_WORDS * 8);
    words.set(2, executable);
    words.set(3, address(EXECUTE_WORDS));
    words.set(4, address(lists));
    words.set(5, numDevices);
    words.set(6, parameters.length);
    words.set(7, address(lists + numDevices));
    words.set(8, address(this.firstEvent));
    words.set(EXECUTE_WORDS, OPTIONS_WORDS * 8);
  }

  /** Address of the struct that PJRT_LoadedExecutable_Execute takes. */
  get address(): number {
    return this.words.address;
  }

  /** @throws PjrtError naming the argument that does not fit */
  setArguments(
    operation: string,
    devices: readonly PjrtDevice[],
    args: readonly (readonly PjrtBuffer[])[],
  ): void {
    const { words } = this;
    const { parameters } = this.shape;
    const count = parameters.length;
    let at = this.firstArgument;
    for (let i = 0; i < devices.length; i++) {
      const list = args[i]!;
      if (list.length !== count) {
        throw invalid(operation, `takes ${count} argument(s); got ${list.length} for ${devices[i]}.`);
      }
      for (let j = 0; j < count; j++) {
        const buffer = list[j]!;
        if (!isBuffer(buffer)) {
          throw invalid(operation, `argument ${j} is not a PjrtBuffer of this copy of the package.`);
        }
        if (buffer.handle === 0 || buffer.device !== devices[i] || !sameShape(buffer, parameters[j])) {
          throw badArgument(operation, buffer, devices[i]!, j, parameters[j]);
        }
        words.set(at++, buffer.handle);
      }
    }
  }

  /**
   * @param device handle of the device that a portable program runs on; 0 for others
   * @param kept arguments whose memory the program must not take
   */
  setOptions(operation: string, device: number, kept: readonly number[] | undefined): void {
    const { words, nonDonatable } = this;
    words.set(9, device);
    words.set(EXECUTE_WORDS + 7, kept === undefined ? 0 : words.address + nonDonatable * 8);
    words.set(EXECUTE_WORDS + 8, kept?.length ?? 0);
    if (kept === undefined) return;
    const count = this.shape.parameters.length;
    if (
      kept.length > count ||
      !kept.every((index) => Number.isInteger(index) && index >= 0 && index < count)
    ) {
      throw invalid(operation, `nonDonatable [${kept}] must name arguments 0 to ${count - 1}.`);
    }
    for (let i = 0; i < kept.length; i++) words.set(nonDonatable + i, kept[i]!);
  }

  /** PJRT_Buffer of a result, after a run. */
  output(device: number, result: number): number {
    return this.words.get(this.firstOutput + device * this.shape.results.length + result);
  }

  /** PJRT_Event of the run's end on each device, after a run was started. */
  events(): number[] {
    return Array.from({ length: this.numDevices }, (_, i) => this.words.get(this.firstEvent + i));
  }
}

function badArgument(
  operation: string,
  buffer: PjrtBuffer,
  device: PjrtDevice,
  index: number,
  wanted: ArrayShape | undefined,
): PjrtError {
  if (buffer.isDisposed) return invalid(operation, `argument ${index}, ${buffer}, has been disposed.`);
  if (buffer.device !== device) {
    return invalid(operation, `argument ${index} is ${buffer}; it must be on ${device}.`);
  }
  const takes = wanted === undefined ? 'a type this package does not know' : formatShape(wanted);
  return invalid(operation, `argument ${index} is ${formatShape(buffer)}; the program takes ${takes}.`);
}

function sameShape(buffer: PjrtBuffer, wanted: ArrayShape | undefined): boolean {
  if (wanted === undefined || buffer.elementType !== wanted.elementType) return false;
  const a = buffer.dims;
  const b = wanted.dims;
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
