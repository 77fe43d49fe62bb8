/** Tensors as values of the block being traced. */
import { isFloat, type Sharding, withFreshTape } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import type { DeviceData } from '../runtime/data';
import { type Block, hlo, numElements, type Value } from '../stablehlo';
import {
  currentFrame,
  type Frame,
  isVisible,
  nextTensorId,
  type PerDeviceBlock,
  perDeviceBlock,
  perDeviceMesh,
  withFrame,
} from './frame';

/** Host values of up to this many elements are written into the program; more become parameters. */
const LITERAL_ELEMENTS = 16;

/** The value of a tensor in the current block: itself, a literal, or a captured parameter. */
export function tracedValue(tensor: tf.TensorInfo, backend: XlaBackend): Value {
  const frame = currentFrame()!;
  const data = backend.find(tensor.dataId);
  if (frame.trace.readers.size > 0 && tensor instanceof tf.Tensor) {
    for (const reader of frame.trace.readers) reader(tensor);
  }
  return valueOfData(data, tensor, frame);
}

function valueOfData(data: DeviceData, tensor: tf.TensorInfo, frame: Frame): Value {
  if (data.value) {
    if (!isVisible(data.block!)) {
      throw new Error(
        perDeviceMesh()
          ? 'a function of shardMap reads a tensor from around it: pass it as an argument, with its spec'
          : 'a tensor made inside a jitted function or loop body is used outside of it: return it instead of keeping it in a variable',
      );
    }
    return reshaped(data.value, tensor, frame);
  }
  if (data.dtype === 'string') throw new Error('string tensors cannot be used inside a jitted function');
  const known = tensor instanceof tf.Variable ? undefined : literal(data, frame);
  if (known) return known;
  const block = perDeviceBlock();
  if (block && !block.capture) {
    throw new Error(
      'a function of shardMap that gradients are taken of reads a tensor from outside: pass it as an argument, with its spec',
    );
  }
  const captured =
    tensor instanceof tf.Variable
      ? frame.trace.capture({ variable: tensor }, data, tensor.shape)
      : frame.trace.capture({ data }, data);
  return reshaped(block?.capture?.(captured) ?? captured, tensor, frame);
}

/** Tensors may share data under another shape (tf.reshape does). */
function reshaped(value: Value, tensor: tf.TensorInfo, frame: Frame): Value {
  const { shape } = tensor;
  if (shape.length === value.shape.length && shape.every((d, i) => d === value.shape[i])) return value;
  return hlo.reshape(frame.block, value, shape);
}

function literal(data: DeviceData, frame: Frame): Value | undefined {
  const { host, shape, element } = data;
  if (!host || element === 'c64') return undefined;
  const values = host as ArrayLike<number>;
  const count = numElements(shape);
  if (count === 0 || values.length !== count) return undefined;
  const first = values[0]!;
  let uniform = true;
  for (let i = 1; i < count && uniform; i++) uniform = Object.is(values[i], first);
  if (!uniform && count > LITERAL_ELEMENTS) return undefined;
  const key = `${element}[${shape}] ${uniform ? text(first) : Array.from(values, text).join()}`;
  let value = frame.literals.get(key);
  if (!value) {
    const { block } = frame;
    value = uniform ? hlo.full(block, shape, first, element) : hlo.constant(block, values, shape, element);
    frame.literals.set(key, value);
  }
  return value;
}

const text = (x: number): string => (Object.is(x, -0) ? '-0' : String(x));

/** Runs `f` and lists the tensors from before it that its operations read: `free` are float, `others` are not. */
export function withFreeTensors<T>(f: () => T): { result: T; free: tf.Tensor[]; others: tf.Tensor[] } {
  const { trace } = currentFrame()!;
  const first = nextTensorId();
  const read = new Map<number, tf.Tensor>();
  const reader = (tensor: tf.Tensor): void => {
    if (tensor.id < first) read.set(tensor.id, tensor);
  };
  trace.readers.add(reader);
  try {
    const result = f();
    const all = [...read.values()];
    return { result, free: all.filter(isFloat), others: all.filter((tensor) => !isFloat(tensor)) };
  } finally {
    trace.readers.delete(reader);
  }
}

/** Runs `f` with the operations appended to a block; gives the values of the tensors it returns. */
export function inBlock(
  block: Block,
  backend: XlaBackend,
  f: () => readonly tf.Tensor[],
  perDevice?: PerDeviceBlock,
): Value[] {
  const outer = currentFrame()!;
  const frame: Frame = { trace: outer.trace, block, parent: outer, literals: new Map(), perDevice };
  return withFreshTape(() =>
    withFrame(frame, () => {
      let values: Value[] = [];
      tf.tidy(() => {
        values = f().map((tensor) => tracedValue(tensor, backend));
      });
      return values;
    }),
  );
}

/** Tensors of values in the current block, tracked by the scope around. */
export const tensorOf = (
  value: Value,
  dtype: tf.DataType,
  backend: XlaBackend,
  layout?: Sharding,
): tf.Tensor => tf.engine().makeTensorFromTensorInfo(backend.tracer(value, dtype, layout));
