/** Exchange between devices, inside functions given to shardMap. */
import type * as tf from '@tensorflow/tfjs-core';
import { activeCompiler, type Compiler } from '../compiler';
import { customVjp, isFloat, isRecording } from '../vjp';
import { axisNames, axisSize, type MeshAxes } from './partition';

/** Sums (or takes the largest or smallest) over the devices along mesh axes; every device gets the result. */
export function allReduce(x: tf.Tensor, axes: MeshAxes, operation: 'sum' | 'max' | 'min' = 'sum'): tf.Tensor {
  return exchange(
    'allReduce',
    x,
    axes,
    (compiler, names) => compiler.allReduce(x, names, operation),
    (dy) => {
      if (operation !== 'sum') throw new Error(`allReduce: ${operation} has no gradient`);
      return allReduce(dy, axes);
    },
  );
}

/** Joins the devices' tensors along a tensor axis; every device gets the whole. */
export function allGather(x: tf.Tensor, axes: MeshAxes, axis = 0): tf.Tensor {
  return exchange(
    'allGather',
    x,
    axes,
    (compiler, names) => compiler.allGather(x, names, axis),
    (dy) => reduceScatter(dy, axes, axis),
  );
}

/** Sums over the devices and leaves each its part along a tensor axis. */
export function reduceScatter(x: tf.Tensor, axes: MeshAxes, axis = 0): tf.Tensor {
  return exchange(
    'reduceScatter',
    x,
    axes,
    (compiler, names) => compiler.reduceScatter(x, names, axis),
    (dy) => allGather(dy, axes, axis),
  );
}

/** Position of this device along a mesh axis: an int32 scalar. */
export const axisIndex = (axis: string): tf.Scalar => compilerInside('axisIndex', [axis]).axisIndex(axis);

function exchange(
  operation: string,
  x: tf.Tensor,
  axes: MeshAxes,
  run: (compiler: Compiler, names: readonly string[]) => tf.Tensor,
  gradient: (dy: tf.Tensor) => tf.Tensor,
): tf.Tensor {
  const names = axisNames(axes);
  const compiler = compilerInside(operation, names);
  if (!isRecording() || !isFloat(x)) return run(compiler, names);
  return customVjp(
    [x],
    () => [run(compiler, names)],
    ([dy]) => [gradient(dy!)],
  )[0]!;
}

/** The compiler, inside a function given to shardMap whose mesh has these axes. */
function compilerInside(operation: string, names: readonly string[]): Compiler {
  const compiler = activeCompiler();
  const mesh = compiler?.perDeviceMesh();
  if (!compiler || !mesh) throw new Error(`${operation} works inside a function given to shardMap only`);
  for (const name of names) axisSize(mesh, name, operation);
  return compiler;
}
