/**
 * Training of all parameters: gradients, clipping and AdamW as one program, layers computed again. The 1.5B model on one
 * device; the 7B model on two, weights, moments and gradients split over them.
 */
import {
  cast,
  deviceInfo,
  evenSpec,
  jit,
  type Mesh,
  mesh,
  random,
  replicate,
  shard,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { compile } from '../compiling';
import { peakMemory } from '../device';
import {
  alike,
  clippedAdamW,
  type OptimizerState,
  optimizerState,
  stepScalars,
} from '../model/clipped-adamw';
import { policyOf, prompts, showo2Params } from '../model/policy';
import { report } from '../reporting';
import { finished, summary } from '../timing';
import type { Workload } from '../workload';

const LEARNING_RATE = 1e-6;
const UPDATES = 4;

export const fullParameters = (workload: Workload): Promise<void> =>
  trainAll('fullParameters.step', workload);

export async function shardedParameters(workload: Workload): Promise<void> {
  if (deviceInfo().length < 2) {
    console.log('shardedParameters needs two devices; there is one');
    return;
  }
  await trainAll('shardedParameters.step', { ...workload, showo2: workload.large }, mesh({ data: 2 }));
}

/** Repeats one batch; the guided velocity is drawn towards a fixed one, so that the loss must fall. */
async function trainAll(name: string, workload: Workload, over?: Mesh): Promise<void> {
  const { batch } = workload;
  const rowsOf = <T extends tf.Tensor>(x: T) => (over ? (shard(x, over, ['data']) as T) : x);
  const drawn = await showo2Params(workload);
  // Nothing of a velocity depends on the vocabulary's projection.
  const trained = Object.keys(drawn).filter((each) => !each.includes('lm_head'));
  const policy = policyOf(workload, drawn, undefined, trained);
  const { params } = policy;
  const encoded = policy.encodePrompts(prompts(workload, 1));
  const condition = over ? everywhere(encoded, over) : encoded;
  const weights: Record<string, tf.Tensor> = {};
  for (const each of policy.trainable) {
    const wide = cast(params[each]!, 'float32');
    // Layers that are stacked stay whole along the axis that counts them.
    const spec = over && evenSpec(wide.shape, over, 'data', each.includes('*') ? 1 : 0);
    weights[each] = over && spec ? shard(wide, over, spec) : wide;
    if (weights[each] !== wide) wide.dispose();
    if (params[each] !== weights[each]) params[each]!.dispose();
  }
  const rows = rowsOf(tf.zeros([batch], 'int32') as tf.Tensor1D);
  const [k1, k2] = random.split(random.key(13)) as [tf.Tensor, tf.Tensor];
  const shape = [batch, ...policy.latentShape];
  const [x, target] = [rowsOf(random.normal(k1, shape)), rowsOf(random.normal(k2, shape))];
  const t = rowsOf(tf.fill([batch], 0.4));

  const step = jit(
    function fullParameterStep(state: OptimizerState, given: typeof condition, scalars: tf.Tensor1D) {
      const names = Object.keys(state.weights);
      const loss = (...values: tf.Tensor[]) => {
        const now = Object.fromEntries(names.map((name, i) => [name, values[i]!]));
        const call = { trained: now, condition: given, purpose: 'training' } as const;
        const prepared = policy.prepare!(call);
        const { velocity } = policy.velocity({ ...call, x, t, rows, prepared });
        return tf.mean(tf.square(tf.sub(velocity, target))) as tf.Scalar;
      };
      const { value, grads } = tf.valueAndGrads(loss)(Object.values(state.weights));
      const gradients = alike(Object.fromEntries(names.map((name, i) => [name, grads[i]!])), state.weights);
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
  report(name, {
    ...times,
    ...cost,
    ...peakMemory(),
    parameters: Object.values(state.weights).reduce((sum, { size }) => sum + size, 0),
    images: batch,
    devices: over ? 2 : 1,
    samplesPerSecond: (1000 * batch) / times.ms,
    losses,
    falling: losses.every((loss, i) => i === 0 || loss < losses[i - 1]!),
  });
}

/** Every tensor of a tree whole on all devices. */
function everywhere<T extends object>(tree: T, over: Mesh): T {
  const entries = Object.entries(tree).map(
    ([name, value]) =>
      [name, value instanceof tf.Tensor ? replicate(value, over) : everywhere(value, over)] as const,
  );
  return Object.fromEntries(entries) as T;
}
