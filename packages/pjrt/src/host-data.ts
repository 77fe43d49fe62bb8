import { types } from 'node:util';
import type { PjrtDevice } from './device';
import {
  bufferTypeCode,
  type ElementType,
  elementBytes,
  elementCount,
  formatShape,
  isElementType,
} from './element-types';
import { invalid } from './errors';
import type { Native } from './ffi/native';

/** What crosses into PJRT: any typed array, DataView or ArrayBuffer. */
export type HostData = ArrayBufferView | ArrayBufferLike;

/** How long the plugin may read host data (PJRT_HostBufferSemantics). */
export const READ_BY = { callEnd: 0, transferEnd: 1 } as const;

/**
 * The arguments of PJRT_Client_BufferFromHostBuffer but the client: data of the right size, its type, shape and device.
 * They point to what `keep` holds.
 */
export function hostBufferArguments(
  native: Native,
  operation: string,
  data: HostData,
  { elementType, dims }: { elementType: ElementType; dims: readonly number[] },
  device: PjrtDevice,
  readBy: (typeof READ_BY)[keyof typeof READ_BY],
): { args: number[]; keep: unknown } {
  if (!ArrayBuffer.isView(data) && !types.isAnyArrayBuffer(data)) {
    throw invalid(operation, 'the data must be a typed array, a DataView or an ArrayBuffer.');
  }
  if (!isElementType(elementType)) throw invalid(operation, `unknown element type ${elementType}.`);
  if (!dims.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    throw invalid(operation, `dims [${dims}] must be whole numbers of at least 0.`);
  }
  const size = elementCount(dims) * elementBytes(elementType);
  if (data.byteLength !== size) {
    const shape = formatShape({ elementType, dims });
    throw invalid(operation, `${shape} takes ${size} bytes, the data has ${data.byteLength}.`);
  }
  const extents = BigInt64Array.from(dims.length === 0 ? [0] : dims, BigInt);
  const source = size === 0 ? extents : data;
  const strides = [0, 0]; // none: row-major
  return {
    args: [
      native.addressOf(source),
      bufferTypeCode(elementType),
      native.addressOf(extents),
      dims.length,
      ...strides,
      readBy,
      device.handle,
    ],
    keep: [source, extents],
  };
}
