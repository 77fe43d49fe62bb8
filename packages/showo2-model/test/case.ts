import { expectClose, type FixtureTensor, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { parseShowo2Config, type Showo2Config } from '../src/index';
import type { ModalityPositions } from '../src/sequence/mask';

/** How far the reference's own float32 run is from float64, for every tensor of a case. */
export type Accuracy = Record<string, { max_abs_diff: number; max_abs_value: number }>;

export interface CaseJson {
  float32_vs_float64: Accuracy;
  config: Record<string, unknown> & {
    guidance_scale: number;
    ode: { grid_points: number; time_shifting_factor: number };
  };
  weights?: string;
  parameters_without_gradient?: string[];
}

export const toTensor = (t: FixtureTensor) =>
  tf.tensor(Float32Array.from(numbers(t)), t.shape, t.dtype === 'I64' ? 'int32' : 'float32');

/** Channels-first fixture latents to channels-last and back. */
export const channelsLast = (x: tf.Tensor) => tf.transpose(x, x.rank === 5 ? [0, 2, 3, 4, 1] : [0, 2, 3, 1]);
export const channelsFirst = (x: tf.Tensor) => tf.transpose(x, x.rank === 5 ? [0, 4, 1, 2, 3] : [0, 3, 1, 2]);

export const toPositions = (t: FixtureTensor): ModalityPositions => {
  const [rows, slots] = t.shape as [number, number];
  const v = numbers(t);
  return Array.from({ length: rows }, (_, r) =>
    Array.from({ length: slots }, (_, s) => [v[(r * slots + s) * 2]!, v[(r * slots + s) * 2 + 1]!]),
  );
};

export function loadCase(dir: string) {
  const json = readJson<CaseJson>(dir, 'case.json');
  const config: Showo2Config = parseShowo2Config(json.config, `${dir}/case.json`);
  const weights = readTensors(dir, json.weights ?? 'model.safetensors');
  const params = Object.fromEntries(Object.entries(weights).map(([k, v]) => [k, toTensor(v)]));
  return { json, config, params, read: (file: string) => readTensors(dir, file) };
}

/**
 * How far from the stored values a float32 run may be: 20 times the reference's own error, since sums go in another
 * order here, and at least 5e-6 of the largest value.
 */
export function toleranceOf(accuracy: Accuracy, name: string): number {
  const known = accuracy[name];
  if (!known) throw new Error(`case.json says nothing of the accuracy of ${name}`);
  return Math.max(20 * known.max_abs_diff, 5e-6 * known.max_abs_value);
}

/** Compares tensors with those of a case by name and knows which are left, so that none is forgotten. */
export class Expectations {
  private readonly left: Set<string>;

  /** @param prefix of the names in case.json's list of accuracies */
  constructor(
    private readonly tensors: Record<string, FixtureTensor>,
    private readonly accuracy: Accuracy,
    private readonly prefix = '',
  ) {
    this.left = new Set(Object.keys(tensors));
  }

  has(name: string): boolean {
    return name in this.tensors;
  }

  /** Fails unless `actual`, in the fixtures' layout, is the tensor called `name`. */
  compare(name: string, actual: tf.Tensor): void {
    const expected = this.tensors[name];
    if (!expected) throw new Error(`the case has no tensor ${name}`);
    this.left.delete(name);
    expect(actual.shape, name).toEqual(expected.shape);
    const tolerance = toleranceOf(this.accuracy, this.prefix + name);
    expectClose(actual.dataSync(), numbers(expected), tolerance, name);
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
