/** Values computed on plain JavaScript, for suites whose backend compiles. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * The tensors that `make` gives, computed on the backend cpu and held by the current one. XLA would compile each operation by
 * itself, for each of its shapes: for a model of a few thousand weights that takes longer than most tests do.
 */
export function onCpu(make: () => Record<string, tf.Tensor>): Record<string, tf.Tensor> {
  const active = tf.getBackend();
  // Both run by now, so each takes over at once.
  const use = (backend: string) => void tf.setBackend(backend);
  if (active === 'cpu') return tf.tidy(make);
  use('cpu');
  let values: [string, tf.TypedArray, tf.Tensor][] = [];
  try {
    tf.tidy(() => {
      values = Object.entries(make()).map(([name, value]) => [name, value.dataSync(), value]);
    });
  } finally {
    use(active);
  }
  return Object.fromEntries(
    values.map(([name, data, { shape, dtype }]) => [name, tf.tensor(data, shape, dtype)]),
  );
}
