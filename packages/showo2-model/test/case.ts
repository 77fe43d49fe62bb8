import { type FixtureTensor, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { parseShowo2Config, type Showo2Config } from '../src/index';
import type { ModalityPositions } from '../src/sequence/mask';

export interface CaseJson {
  config: Record<string, unknown> & { guidance_scale: number; ode: { grid_points: number } };
  weights?: string;
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
