/** What the backend's instance carries for @flow-grpo/tfjs-jit. */
import type { Compiler, FloatStorage } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import { compileFunction } from './compile';
import { activeBackend } from './dispatch';
import { tracedCheckpoint } from './loops/traced-checkpoint';
import { tracedScan } from './loops/traced-scan';
import { tracedWhile } from './loops/traced-while';
import { ELEMENTS, storageOfElement } from './ops/storage';
import { allGather, allReduce, axisIndex, reduceScatter } from './parallel/collectives';
import { perDevice } from './parallel/per-device';
import { place, readShards, shardInPlace, takeLocal } from './parallel/shard';
import { isPlanning, planWork, unvalued } from './runtime/ahead';
import { compileSeconds, observeCompilations } from './runtime/compilations';
import { DeviceData, elementOf } from './runtime/data';
import { deviceInfo } from './runtime/device-info';
import { isTracing, perDeviceMesh } from './trace/frame';

export const xlaCompiler: Compiler = {
  moreDevices: (count) =>
    `on the CPU call configure({ devices: ${count} }) of @flow-grpo/tfjs-backend-xla first`,
  compile: compileFunction,
  isTracing,
  scan: tracedScan,
  whileLoop: tracedWhile,
  checkpoint: tracedCheckpoint,
  perDevice,
  perDeviceMesh,
  allReduce,
  allGather,
  reduceScatter,
  axisIndex,
  place,
  shardInPlace,
  layoutOf: (x) => activeBackend().find(x.dataId).layout,
  takeLocal,
  readShards,
  deviceInfo,
  planWork,
  placeholder,
  observeCompilations,
  compileSeconds,
  storageOf: (x) => storageOfElement(activeBackend().find(x.dataId).element),
  fromBytes,
  toBytes,
  upload,
  // By name: errors of another copy of pjrt count too.
  isOutOfMemory: (error) => error instanceof Error && error.name === 'PjrtOutOfMemoryError',
};

function fromBytes(bytes: Uint8Array, shape: readonly number[], storage: FloatStorage): tf.Tensor {
  const data = new DeviceData([...shape], 'float32', ELEMENTS[storage]);
  data.bytes = bytes;
  return tf.engine().makeTensorFromTensorInfo({
    dataId: activeBackend().adopt(data),
    shape: [...shape],
    dtype: 'float32',
  });
}

function placeholder(
  shape: readonly number[],
  dtype: tf.DataType,
  storage: FloatStorage | undefined,
): tf.Tensor {
  if (!isPlanning())
    throw new Error('placeholder: a tensor without values is for functions given to compileAhead');
  const element = storage ? ELEMENTS[storage] : elementOf(dtype);
  if (element === undefined) throw new Error(`placeholder: there are no ${dtype} tensors in programs`);
  const dataId = activeBackend().adopt(unvalued([...shape], { dtype, element }, undefined));
  return tf.engine().makeTensorFromTensorInfo({ dataId, shape: [...shape], dtype });
}

async function toBytes(x: tf.Tensor): Promise<Uint8Array> {
  const backend = activeBackend();
  return backend.raw(backend.readable(x.dataId));
}

async function upload(x: tf.Tensor): Promise<void> {
  const backend = activeBackend();
  await backend.upload(backend.readable(x.dataId));
}
