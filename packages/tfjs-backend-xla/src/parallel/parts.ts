/** What the devices hold of a tensor, each part once. */
import type { Sharding } from '@flow-grpo/tfjs-jit/backend';
import type { DeviceData } from '../runtime/data';
import { byteSize, numElements } from '../stablehlo';
import { shardBox } from './sharding';

/** A part of a tensor, and the first device that holds it. */
export interface Part {
  readonly device: number;
  /** On each axis. */
  readonly box: readonly (readonly [start: number, extent: number])[];
}

/** Every part once, so that of copies on several devices one is read. */
export function distinctParts(sharding: Sharding, shape: readonly number[]): Part[] {
  const parts = new Map<string, Part>();
  for (let device = 0; device < sharding.mesh.size; device++) {
    const box = shardBox(sharding, shape, device);
    if (!parts.has(`${box}`)) parts.set(`${box}`, { device, box });
  }
  return [...parts.values()];
}

/** The whole tensor's row-major bytes, from those of its parts. */
export function assemble(
  { shape, element, byteSize: bytes }: DeviceData,
  parts: readonly Part[],
  shards: readonly Uint8Array[],
): Uint8Array {
  if (parts.length === 1) return shards[0]!;
  const width = byteSize(element);
  const whole = new Uint8Array(bytes);
  const strides = shape.map((_, i) => numElements(shape.slice(i + 1)) * width);
  parts.forEach(({ box }, part) => {
    const shard = shards[part]!;
    let at = 0;
    const copy = (axis: number, offset: number): void => {
      const [start, extent] = box[axis]!;
      // What follows is whole: one run of bytes.
      const isRun = box
        .slice(axis + 1)
        .every(([from, count], i) => from === 0 && count === shape[axis + 1 + i]);
      if (isRun) {
        const length = extent * strides[axis]!;
        whole.set(shard.subarray(at, at + length), offset + start * strides[axis]!);
        at += length;
        return;
      }
      for (let i = start; i < start + extent; i++) copy(axis + 1, offset + i * strides[axis]!);
    };
    copy(0, 0);
  });
  return whole;
}
