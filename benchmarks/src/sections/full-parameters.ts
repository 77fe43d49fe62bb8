/** Training of all parameters on one device: gradients, clipping and AdamW as one program, layers computed again. */
import { cast, jit, random } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { compile } from '../compiling';
import { peakMemory } from '../device';
import { clippedAdamW, type OptimizerState, optimizerState, stepScalars } from '../model/clipped-adamw';
import { policyOf, prompts, showo2Params, stackHead } from '../model/policy';
import { report } from '../reporting';
import { finished, summary } from '../timing';
import type { Workload } from '../workload';

const LEARNING_RATE = 1e-4;
const UPDATES = 5;

/** Repeats one batch; the guided velocity is drawn towards a fixed one, so that the loss must fall. */
export async function fullParameters(workload: Workload): Promise<void> {
  const { batch } = workload;
  const params = stackHead(await showo2Params(workload));
  const policy = policyOf(workload, params, undefined, ['all']);
  const condition = policy.encodePrompts(prompts(workload, 1));
  const weights = Object.fromEntries(
    policy.trainable.map((name) => [name, cast(params[name]!, 'float32')] as const),
  );
  for (const [name, value] of Object.entries(params)) if (weights[name] !== value) value.dispose();
  const rows = tf.zeros([batch], 'int32') as tf.Tensor1D;
  const [k1, k2] = random.split(random.key(13)) as [tf.Tensor, tf.Tensor];
  const shape = [batch, ...policy.latentShape];
  const [x, target] = [random.normal(k1, shape), random.normal(k2, shape)];
  const t = tf.fill([batch], 0.4);

  const step = jit(
    function fullParameterStep(state: OptimizerState, given: typeof condition, scalars: tf.Tensor1D) {
      const names = Object.keys(state.weights);
      const loss = (...values: tf.Tensor[]) => {
        const now = Object.fromEntries(names.map((name, i) => [name, values[i]!]));
        const prepared = policy.prepare!(now, given);
        const { velocity } = policy.velocity(now, x, t, given, rows, prepared);
        return tf.mean(tf.square(tf.sub(velocity, target))) as tf.Scalar;
      };
      const { value, grads } = tf.valueAndGrads(loss)(Object.values(state.weights));
      const gradients = Object.fromEntries(names.map((name, i) => [name, grads[i]!]));
      return { loss: value as tf.Tensor, state: clippedAdamW(state, gradients, scalars).state };
    },
    { donate: [0], name: 'fullParameterStep' },
  );
  let state = optimizerState(weights);
  const scalars = (update: number) => stepScalars(LEARNING_RATE, update);
  const cost = await compile(step, state, condition, scalars(1));
  const losses: number[] = [];
  const samples: number[] = [];
  for (let update = 1; update <= UPDATES; update++) {
    const start = performance.now();
    const done = step(state, condition, scalars(update));
    await finished(done.loss);
    samples.push(performance.now() - start);
    state = done.state;
    losses.push(Number((await done.loss.data())[0]!.toPrecision(6)));
    done.loss.dispose();
  }
  const times = summary(samples.slice(1));
  report('fullParameters.step', {
    ...times,
    ...cost,
    ...peakMemory(),
    parameters: Object.values(state.weights).reduce((sum, { size }) => sum + size, 0),
    images: batch,
    samplesPerSecond: (1000 * batch) / times.ms,
    losses,
    falling: losses.every((loss, i) => i === 0 || loss < losses[i - 1]!),
  });
}
