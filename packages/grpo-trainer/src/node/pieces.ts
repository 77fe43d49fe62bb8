/** Parts of a checkpoint that several processes write: each its own pieces, put together when they are read. */
import type { RawTensor } from '@flow-grpo/checkpoint-io';
import { readShards } from '@flow-grpo/tfjs-jit';
import type { Params } from '../policy';

/** The file of a part, without its ending: `trained` of process 0, `trained.2` of process 2. */
export const fileOf = (part: string, process: number): string =>
  process === 0 ? part : `${part}.${process}`;

/** The part of a file, and of which process it is. */
export function partOf(file: string): { part: string; process: number } {
  const [, part, process] = /^(.*?)(?:\.(\d+))?$/.exec(file)!;
  return { part: part!, process: Number(process ?? 0) };
}

/** Where a stored tensor lies in the one that it is a piece of. */
interface Piece {
  readonly of: string;
  readonly whole: readonly number[];
  readonly start: readonly number[];
}

const PREFIX = 'piece ';

/** What this process's devices hold of tensors, and no process before it, with where it belongs as a file's metadata. */
export async function ownPieces(
  params: Params,
): Promise<{ tensors: Record<string, RawTensor>; pieces: Record<string, string> }> {
  const tensors: Record<string, RawTensor> = {};
  const pieces: Record<string, string> = {};
  for (const [name, value] of Object.entries(params)) {
    for (const { start, shape, bytes } of await readShards(value)) {
      const isWhole = shape.every((extent, axis) => extent === value.shape[axis]);
      const key = isWhole ? name : `${name} ${start.join(',')}`;
      tensors[key] = { dtype: 'float32', shape: [...shape], bytes };
      if (!isWhole) {
        const piece: Piece = { of: name, whole: value.shape, start };
        pieces[`${PREFIX}${key}`] = JSON.stringify(piece);
      }
    }
  }
  return { tensors, pieces };
}

/** The pieces in a file, by the name they are stored under. */
export function piecesIn(metadata: Readonly<Record<string, string>>): Map<string, Piece> {
  return new Map(
    Object.entries(metadata).flatMap(([key, text]) =>
      key.startsWith(PREFIX) ? [[key.slice(PREFIX.length), JSON.parse(text) as Piece] as const] : [],
    ),
  );
}

/** Puts a piece's float32 values into the whole tensor's, both row-major. */
export function insert(
  whole: Float32Array,
  wholeShape: readonly number[],
  piece: Float32Array,
  shape: readonly number[],
  start: readonly number[],
): void {
  const run = shape.at(-1) ?? 1;
  const rows = run === 0 ? 0 : piece.length / run;
  const index = new Array<number>(Math.max(0, shape.length - 1)).fill(0);
  for (let row = 0; row < rows; row++) {
    let at = 0;
    for (const [axis, i] of index.entries()) at = (at + start[axis]! + i) * wholeShape[axis + 1]!;
    whole.set(piece.subarray(row * run, (row + 1) * run), at + (start.at(-1) ?? 0));
    for (let axis = index.length - 1; axis >= 0; axis--) {
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
}
