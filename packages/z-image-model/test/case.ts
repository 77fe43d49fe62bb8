/** Reading the cases, and comparing with all that is in them. */
import { resolve } from 'node:path';
import {
  expectClose,
  type FixtureTensor,
  maxAbs,
  numbers,
  readJson,
  readTensors,
} from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

export const toTensor = (t: FixtureTensor): tf.Tensor =>
  tf.tensor(Float32Array.from(numbers(t)), t.shape, t.dtype === 'I64' ? 'int32' : 'float32');

/** Fixtures' latents (C, 1, H, W) or (…, C, H, W) as [H, W, C] or [B, H, W, C], and back. */
export const imageOf = (t: FixtureTensor): tf.Tensor3D =>
  tf.transpose(tf.squeeze(toTensor(t), [1]), [1, 2, 0]) as tf.Tensor3D;
export const fromImage = (x: tf.Tensor3D): tf.Tensor => tf.expandDims(tf.transpose(x, [2, 0, 1]), 1);
export const channelsLast = (x: tf.Tensor): tf.Tensor4D => tf.transpose(x, [0, 2, 3, 1]) as tf.Tensor4D;
export const channelsFirst = (x: tf.Tensor): tf.Tensor => tf.transpose(x, [0, 3, 1, 2]);

interface Tolerance {
  suggested: { absolute?: number; relative_to_tensor_max?: number; floor?: number };
}
type Tolerances = Record<string, Tolerance>;

export interface CaseJson {
  config: Record<string, unknown>;
  tolerances: Tolerances;
  weights?: string;
}

export function readCase<Json extends CaseJson>(dir: string) {
  const json = readJson<Json>(dir, 'case.json');
  const read = (file: string) => readTensors(dir, file);
  /** The weights that a case names, which may be another case's. */
  const params = (file = json.weights!) =>
    Object.fromEntries(Object.entries(read(file)).map(([name, t]) => [name, toTensor(t)]));
  return { json, read, params, at: (path: string) => resolve(dir, path) };
}

/**
 * How far from `expected` a value may be: that of the group, which is named by the beginning of the tensor's name, or by the
 * file alone where there is no such group.
 */
function toleranceOf(
  tolerances: Tolerances,
  file: string,
  name: string,
  expected: readonly number[],
): number {
  const found = tolerances[`${file}/${name.split('.')[0]}`] ?? tolerances[file];
  if (!found) throw new Error(`case.json has no tolerance for ${name} of ${file}`);
  const { absolute, relative_to_tensor_max: relative, floor = 0 } = found.suggested;
  return absolute ?? Math.max(relative! * maxAbs(expected), floor);
}

/** Compares tensors of a file with results by name, and knows which are left, so that none is forgotten. */
export class Expectations {
  private readonly left: Set<string>;

  constructor(
    private readonly tensors: Record<string, FixtureTensor>,
    private readonly tolerances: Tolerances,
    private readonly file: string,
  ) {
    this.left = new Set(Object.keys(tensors));
  }

  has(name: string): boolean {
    return name in this.tensors;
  }

  shapeOf(name: string): number[] {
    return this.tensors[name]!.shape;
  }

  /** Fails unless `actual`, in the fixtures' layout, is the tensor called `name`. */
  compare(name: string, actual: tf.Tensor): void {
    const expected = this.tensors[name];
    if (!expected) throw new Error(`the case has no tensor ${name}`);
    expect(actual.shape, name).toEqual(expected.shape);
    const wanted = this.values(name);
    expectClose(actual.dataSync(), wanted, toleranceOf(this.tolerances, this.file, name, wanted), name);
  }

  /** The same for [B, L, …] of which the first `lengths[i]` rows of item i have a meaning. */
  compareRows(name: string, actual: tf.Tensor, lengths: readonly number[]): void {
    const expected = this.tensors[name]!;
    const wanted = this.values(name);
    const tolerance = toleranceOf(this.tolerances, this.file, name, wanted);
    expect([actual.rank, actual.shape[0], ...actual.shape.slice(2)], name).toEqual([
      expected.shape.length,
      expected.shape[0],
      ...expected.shape.slice(2),
    ]);
    const width = actual.shape.slice(2).reduce((a, b) => a * b, 1);
    const got = actual.dataSync();
    lengths.forEach((length, item) => {
      const from = item * actual.shape[1]! * width;
      const at = item * expected.shape[1]! * width;
      expect(length, `${name}: rows of item ${item}`).toBeLessThanOrEqual(expected.shape[1]!);
      const rows = got.slice(from, from + length * width);
      expectClose(rows, wanted.slice(at, at + length * width), tolerance, `${name}, item ${item}`);
    });
  }

  /** The same for items that stand one after the other, of which rows from `starts[i]` on are compared. */
  compareConcatenated(
    name: string,
    actual: tf.Tensor,
    lengths: readonly number[],
    starts: readonly number[],
  ): void {
    const wanted = this.values(name);
    const tolerance = toleranceOf(this.tolerances, this.file, name, wanted);
    const width = actual.shape[2]!;
    const got = actual.dataSync();
    lengths.forEach((length, item) => {
      const from = item * actual.shape[1]! * width;
      const rows = got.slice(from, from + length * width);
      const at = starts[item]! * width;
      expectClose(rows, wanted.slice(at, at + length * width), tolerance, `${name}, item ${item}`);
    });
  }

  /** The values of a tensor that is compared by other means, or is no result. */
  values(name: string): number[] {
    this.left.delete(name);
    return numbers(this.tensors[name]!);
  }

  /** Names of what was neither compared nor taken. */
  get forgotten(): string[] {
    return [...this.left];
  }
}
