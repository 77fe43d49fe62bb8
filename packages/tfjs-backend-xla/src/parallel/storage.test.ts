import { expectClose } from '@flow-grpo/test-support';
import {
  allGather,
  allReduce,
  cast,
  checkpoint,
  deviceInfo,
  evenSpec,
  gatherShards,
  jit,
  type Mesh,
  mesh,
  random,
  scan,
  shard,
  shardInPlace,
  shardingOf,
  shardLike,
  shardMap,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { configure } from '../index';

beforeAll(async () => {
  configure({ devices: 4 });
  await tf.setBackend('xla');
});

const LAYERS = 16;
const WIDTH = 64;
const ROWS = 8;

type Params = { layers: { weight: tf.Tensor; bias: tf.Tensor }; head: tf.Tensor };
interface State {
  params: Params;
  mean: Params;
  variance: Params;
}

const draw = (seed: number, shape: number[]) => tf.mul(random.normal(random.key(seed), shape), 0.1);
const batch = () => draw(9, [ROWS, WIDTH]);

const map = (f: (...xs: tf.Tensor[]) => tf.Tensor, ...ps: Params[]): Params => ({
  layers: {
    weight: f(...ps.map((p) => p.layers.weight)),
    bias: f(...ps.map((p) => p.layers.bias)),
  },
  head: f(...ps.map((p) => p.head)),
});

/** Stacked layers keep their leading axis: `scan` slices it. */
function split(m: Mesh | undefined, params: Params): Params {
  if (!m) return params;
  const along = (from: number) => (x: tf.Tensor) => shard(x, m, evenSpec(x.shape, m, 'data', from));
  return {
    layers: { weight: along(1)(params.layers.weight), bias: along(1)(params.layers.bias) },
    head: along(0)(params.head),
  };
}

const initial = (m: Mesh | undefined): State => {
  const params = split(m, {
    layers: { weight: draw(1, [LAYERS, WIDTH, WIDTH]), bias: draw(2, [LAYERS, WIDTH]) },
    head: draw(3, [WIDTH, 3]),
  });
  return { params, mean: map(tf.zerosLike, params), variance: map(tf.zerosLike, params) };
};

/** Layers under scan, the head under checkpoint: each gathers its weights where it reads them. */
function loss(params: Params, x: tf.Tensor): tf.Scalar {
  const [hidden] = scan(
    (h: tf.Tensor, layer: Params['layers']): [tf.Tensor, null] => {
      const { weight, bias } = gatherShards(layer);
      return [tf.tanh(tf.add(tf.matMul(h, weight), bias)), null];
    },
    x,
    params.layers,
  );
  const head = checkpoint((h: tf.Tensor, w: tf.Tensor) => tf.matMul(h, gatherShards(w)));
  return tf.mean(tf.square(head(hidden, params.head))) as tf.Scalar;
}

/** One step of AdamW, which never needs a whole tensor. */
const adamw = () =>
  jit(
    function step({ params, mean, variance }: State, x: tf.Tensor): [State, tf.Tensor] {
      const { value, grads } = tf.valueAndGrads((weight: tf.Tensor, bias: tf.Tensor, head: tf.Tensor) =>
        loss({ layers: { weight, bias }, head }, x),
      )([params.layers.weight, params.layers.bias, params.head]);
      const gradients = { layers: { weight: grads[0]!, bias: grads[1]! }, head: grads[2]! };
      const average = (rate: number, f: (g: tf.Tensor) => tf.Tensor, old: Params) =>
        map((m, g) => shardLike(tf.add(tf.mul(m!, rate), tf.mul(f(g!), 1 - rate)), m!), old, gradients);
      const nextMean = average(0.9, (g) => g, mean);
      const nextVariance = average(0.999, tf.square, variance);
      const next = map(
        (w, m, v) =>
          shardLike(tf.sub(tf.mul(w!, 1 - 1e-4), tf.mul(tf.div(m!, tf.add(tf.sqrt(v!), 1e-6)), 1e-3)), w!),
        params,
        nextMean,
        nextVariance,
      );
      return [{ params: next, mean: nextMean, variance: nextVariance }, value];
    },
    { donate: [0] },
  );

function train(m: Mesh | undefined) {
  const step = adamw();
  let state = initial(m);
  const x = m ? shard(batch(), m, ['data']) : batch();
  const cost = step.lower(state, x).cost();
  const losses: number[] = [];
  for (let i = 0; i < 5; i++) {
    const [next, value] = step(state, x);
    losses.push(value.dataSync()[0]!);
    state = next;
  }
  return { losses, state, cost };
}

const stateBytes = 3 * 4 * (LAYERS * WIDTH * WIDTH + LAYERS * WIDTH + WIDTH * 3);
const batchBytes = 4 * ROWS * WIDTH;
const layerBytes = 4 * WIDTH * WIDTH;
/** What cuBLAS gets to work in. */
const CUBLAS_BYTES = 2 ** 25;

describe.each([2, 4])('parameters and optimizer state stored over %i devices', (n) => {
  it('train to the numbers of one device, with 1/N of the bytes on each', () => {
    const one = train(undefined);
    const many = train(mesh({ data: n }));
    expectClose(many.losses, one.losses, 1e-5);
    expect(many.losses[4]!).toBeLessThan(many.losses[0]!);
    for (const key of ['params', 'mean', 'variance'] as const) {
      map(
        (actual, expected) => {
          expectClose(actual!.dataSync(), expected!.dataSync(), 1e-4, key);
          expect(shardingOf(actual!)!.spec).toContain('data');
          return actual!;
        },
        many.state[key],
        one.state[key],
      );
    }
    // By XLA's account of one device's memory.
    expect(one.cost.argumentBytes).toBe(stateBytes + batchBytes);
    expect(many.cost.argumentBytes).toBe((stateBytes + batchBytes) / n);
    expect(many.cost.aliasedBytes).toBe(stateBytes / n);
  });

  it('are gathered layer by layer: no device ever holds the stack', () => {
    const m = mesh({ data: n });
    const { cost } = train(m);
    // The shards' gradients and the room they are written to, activations, and a few whole layers.
    const few = 4 * layerBytes + LAYERS * batchBytes;
    const own = deviceInfo()[0]!.platform === 'cuda' ? CUBLAS_BYTES : 0;
    expect(cost.temporaryBytes).toBeLessThan((2 * stateBytes) / 3 / n + few + own);
    expect(few).toBeLessThan((LAYERS * layerBytes) / 2);
  });

  it('the same by hand: allGather in a function of shardMap, whose gradient is reduceScatter', () => {
    const m = mesh({ data: n });
    const step = (weights: tf.Tensor, x: tf.Tensor) => {
      const [h] = scan(
        (c: tf.Tensor, w: tf.Tensor): [tf.Tensor, null] => [
          tf.tanh(tf.matMul(c, allGather(w, 'data', 0) as tf.Tensor2D)),
          null,
        ],
        x,
        weights,
      );
      return [allReduce(tf.sum(tf.square(h)), 'data')] as [tf.Tensor];
    };
    const mapped = shardMap(step, { mesh: m, inSpecs: [[null, 'data'], ['data']], outSpecs: [[]] });
    const grad = jit((w: tf.Tensor, x: tf.Tensor) => tf.grad((v: tf.Tensor) => mapped(v, x)[0])(w));
    const plain = jit((w: tf.Tensor, x: tf.Tensor) =>
      tf.grad((v: tf.Tensor) => {
        const [h] = scan(
          (c: tf.Tensor, u: tf.Tensor): [tf.Tensor, null] => [tf.tanh(tf.matMul(c, u as tf.Tensor2D)), null],
          x,
          v,
        );
        return tf.sum(tf.square(h));
      })(w),
    );
    const [w, x] = [draw(1, [LAYERS, WIDTH, WIDTH]), batch()];
    const [ws, xs] = [shard(w, m, [null, 'data']), shard(x, m, ['data'])];
    const { text } = grad.lower(ws, xs);
    expect(text).toContain('stablehlo.all_gather');
    expect(text).toContain('stablehlo.reduce_scatter');
    const actual = grad(ws, xs);
    expect(shardingOf(actual)!.spec).toEqual([null, 'data', null]);
    expectClose(actual.dataSync(), plain(w, x).dataSync(), 1e-4);
  });
});

describe('evenSpec', () => {
  it('splits the longest axis that divides evenly', () => {
    const m = mesh({ data: 2, model: 2 });
    expect(evenSpec([6, 8], m, 'data')).toEqual([null, ['data']]);
    expect(evenSpec([6, 8], m)).toEqual([null, ['data', 'model']]);
    expect(evenSpec([6, 9], m)).toEqual([]);
    expect(evenSpec([28, 4], m, 'data')).toEqual([['data']]);
    expect(evenSpec([28, 4], m, 'data', 1)).toEqual([null, ['data']]);
    expect(evenSpec([], m)).toEqual([]);
    expect(() => evenSpec([4], m, 'rows')).toThrow(/no axis "rows"/);
  });
});

describe('gatherShards', () => {
  it('knows the layout of arguments, captured tensors and casts; leaves the rest alone', () => {
    const m = mesh({ data: 4 });
    const w = shard(draw(1, [8, 4]), m, ['data']);
    const captured = shard(draw(2, [8, 4]), m, ['data']);
    const gathers = (f: (x: tf.Tensor) => tf.Tensor) =>
      jit(f)
        .lower(w)
        .text.match(/sdy\.sharding_constraint/g)?.length ?? 0;
    expect(gathers((x) => gatherShards(x))).toBe(1);
    expect(gathers((x) => gatherShards(cast(x, 'bfloat16')))).toBe(1);
    expect(gathers((x) => tf.add(x, gatherShards(captured)))).toBe(1);
    expect(gathers((x) => gatherShards(tf.matMul(x, x, true)))).toBe(0);
    expect(gatherShards(w)).toBe(w);
  });

  it('sends bfloat16 over the wire and returns gradients to the layout and storage of the master weights', () => {
    const m = mesh({ data: 4 });
    const w = draw(1, [8, 4]);
    const x = draw(2, [16, 8]);
    const grad = jit((weight: tf.Tensor, rows: tf.Tensor) =>
      tf.grad((v: tf.Tensor) =>
        tf.sum(tf.square(tf.matMul(cast(rows, 'bfloat16'), gatherShards(cast(v, 'bfloat16'))))),
      )(weight),
    );
    const split = grad(shard(w, m, ['data']), shard(x, m, ['data']));
    expect(shardingOf(split)!.spec).toEqual(['data', null]);
    expectClose(split.dataSync(), grad(w, x).dataSync(), 3e-2);
  });
});

describe('shardLike', () => {
  it('lays a result out like an argument, and names shapes that differ', () => {
    const m = mesh({ data: 2 });
    const w = shard(draw(1, [4, 4]), m, [null, 'data']);
    const f = jit((x: tf.Tensor) => shardLike(tf.transpose(x), x));
    expect(shardingOf(f(w))!.spec).toEqual([null, 'data']);
    expect(() => shardLike(tf.zeros([2]), w)).toThrow(/shapes differ/);
    const plain = tf.zeros([4, 4]);
    expect(shardLike(plain, tf.ones([4, 4]))).toBe(plain);
  });
});

describe('weights that a function has taken hold of, moved afterwards', () => {
  /** A model as policies are: its weights are the closure's. */
  const model = () => {
    const weights = { weight: draw(1, [LAYERS, WIDTH, WIDTH]), bias: draw(2, [LAYERS, WIDTH]) };
    const forward = jit(
      (x: tf.Tensor) =>
        scan(
          (h: tf.Tensor, layer: typeof weights): [tf.Tensor, null] => {
            const { weight, bias } = gatherShards(layer);
            return [tf.tanh(tf.add(tf.matMul(h, weight), bias)), null];
          },
          x,
          weights,
        ).at(0) as tf.Tensor,
    );
    return { weights, forward };
  };
  const bytes = 4 * (LAYERS * WIDTH * WIDTH + LAYERS * WIDTH);

  it.each([{ data: 2 }, { data: 4 }, { copy: 2, data: 2 }])('over %j', (axes) => {
    const m = mesh(axes as unknown as Record<string, number>);
    const { weights, forward } = model();
    const x = batch();
    const expected = forward(x).dataSync();
    const whole = forward.lower(x).cost().temporaryBytes;
    for (const value of Object.values(weights)) shardInPlace(value, m, evenSpec(value.shape, m, 'data', 1));
    const rows = shard(x, m, [Object.keys(axes)]);
    expectClose(forward(rows).dataSync(), expected, 1e-6);
    // What was traced before they moved is traced again, for the same arguments too.
    expectClose(forward(x).dataSync(), expected, 1e-6);
    expect(shardingOf(weights.weight)!.spec).toEqual([null, 'data', null]);
    expectClose(weights.bias.dataSync(), model().weights.bias.dataSync(), 0);
    const cost = forward.lower(rows).cost();
    expect(cost.argumentBytes).toBe(bytes / m.axes.data! + batchBytes / m.size);
    // Gathered layer by layer: never the stack. XLA may lay the parts out anew for the loop.
    const own = deviceInfo()[0]!.platform === 'cuda' ? CUBLAS_BYTES : 0;
    expect(cost.temporaryBytes).toBeLessThan(whole + bytes / m.axes.data! + 3 * layerBytes + own);
    // Every weight once, in the loop over layers.
    const { data } = m.axes;
    const gathers = cost.collectives.filter(({ operation }) => operation === 'all-gather');
    const gathered = gathers.map(({ bytes: each, times, groups }) => [each, times, groups[0]!.length]);
    expect(gathered.sort(([a], [b]) => a! - b!)).toEqual([
      [4 * WIDTH, LAYERS, data],
      [layerBytes, LAYERS, data],
    ]);
    expect(cost.collectives).toHaveLength(2);
  });

  it('is refused inside jit, and for a tensor that shares its values with one of another shape', () => {
    const m = mesh({ data: 2 });
    const x = draw(1, [4, 4]);
    expect(() =>
      jit((y: tf.Tensor) => {
        shardInPlace(x, m, ['data']);
        return y;
      })(x),
    ).toThrow(/inside jit no values can be moved/);
    expect(() => shardInPlace(tf.reshape(x, [16]), m, ['data'])).toThrow(/\[16\] shares .* \[4,4\]: copy it/);
  });
});
