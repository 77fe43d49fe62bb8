/** What the devices hold of a tensor, each part once. */
import type { PjrtBuffer } from '@flow-grpo/pjrt';
import type { Sharding } from '@flow-grpo/tfjs-jit/backend';
import type { DeviceData } from '../runtime/data';
import { byteSize, numElements } from '../stablehlo';
import { localPositions } from './devices';
import { shardBox } from './sharding';

/** A part of a tensor, and the first device that holds it. */
export interface Part {
  readonly device: number;
  /** On each axis. */
  readonly box: readonly (readonly [start: number, extent: number])[];
}

/**
 * Every part once, so that of copies on several devices one is read.
 *
 * @param devices those of the mesh that are looked at, by number; all by default
 */
export function distinctParts(
  sharding: Sharding,
  shape: readonly number[],
  devices: Iterable<number> = Array(sharding.mesh.size).keys(),
): Part[] {
  const parts = new Map<string, Part>();
  for (const device of devices) {
    const box = shardBox(sharding, shape, device);
    if (!parts.has(`${box}`)) parts.set(`${box}`, { device, box });
  }
  return [...parts.values()];
}

/** A part, and the buffer of this process that has it. */
export interface HeldPart extends Part {
  readonly buffer: PjrtBuffer;
}

/**
 * The parts of which this process is the first to have a copy: those of all processes together are the whole, each part once.
 */
export function ownParts({ sharding, buffers, shape }: DeviceData): HeldPart[] {
  const local = localPositions(sharding!.mesh);
  return distinctParts(sharding!, shape).flatMap((part) => {
    const at = local.indexOf(part.device);
    return at < 0 ? [] : [{ ...part, buffer: buffers![at]! }];
  });
}

/** @throws where another process has a part that this one has not */
export function wholeParts({ sharding, buffers, shape }: DeviceData): HeldPart[] {
  const { mesh } = sharding!;
  const local = localPositions(mesh);
  const parts = distinctParts(sharding!, shape, local);
  const all = local.length === mesh.size ? parts.length : distinctParts(sharding!, shape).length;
  if (parts.length < all) {
    throw new Error(
      `a tensor [${shape}] has ${all - parts.length} of its ${all} parts on other processes, not on this one: have all processes call replicate(x, mesh) to gather it, or read what is here with readShards`,
    );
  }
  return parts.map((part) => ({ ...part, buffer: buffers![local.indexOf(part.device)]! }));
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
