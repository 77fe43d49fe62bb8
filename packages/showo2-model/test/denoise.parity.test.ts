import { stackLayers, unstackLayers } from '@flow-grpo/nn';
import '@flow-grpo/tfjs-backend-xla';
import { sample, shiftedSchedule } from '@flow-grpo/sde-sampler';
import { expectClose, fixtureCases, maxAbs, maxAbsDiff, numbers } from '@flow-grpo/test-support';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import type { TextState } from '../src/denoise/condition';
import { guide } from '../src/guidance';
import {
  encodePrompts,
  forwardSequence,
  initShowo2Params,
  SHOWO2_LAYER_BASES,
  type Showo2Condition,
  showo2ParameterSpecs,
  showo2Velocity,
  velocityFromFeatures,
} from '../src/index';
import { channelsFirst, channelsLast, loadCase, toleranceOf, toPositions, toTensor } from './case';

/** As one program where the backend compiles: each kernel by itself, for each of its shapes, takes far longer to compile. */
const compiled = <T>(f: () => T): T => jit(f)();

const velocityOf = (...args: Parameters<typeof showo2Velocity>) => compiled(() => showo2Velocity(...args));
const conditionOf = (...args: Parameters<typeof encodePrompts>) => compiled(() => encodePrompts(...args));

const relative = (actual: tf.Tensor, expected: ArrayLike<number>, label: string, tolerance = 1e-5) =>
  expectClose(actual.dataSync(), expected, tolerance * Math.max(maxAbs(expected), 1e-3), label);

describe.each(fixtureCases('showo2-tiny'))('$name', ({ dir }) => {
  const { json, config: read, params, read: file } = loadCase(dir);
  const config = { ...read, maxTextLength: 1000 };
  const given = file('inputs.safetensors');
  const positions = toPositions(given.modality_positions!);
  const tokens = toTensor(given.text_tokens!);
  const rows = tokens.arraySync() as number[][];
  const B = rows.length / 2;
  const prompts = rows.slice(0, B).map((row, i) => row.slice(1, positions[i]![0]![0] - 1));
  const x = channelsLast(toTensor(given.latents!));
  const t = toTensor(given.t!);
  const half = (y: tf.Tensor) => tf.split(y, 2)[0] as tf.Tensor;
  const scale = json.config.guidance_scale;
  const plain = (p = params) => {
    const v = compiled(() => forwardSequence(p, config, { tokens, positions, latents: x, t }).velocity);
    return tf.split(v, 2) as [tf.Tensor, tf.Tensor];
  };
  const [c, u] = plain();
  const guided = guide(c, u, scale).dataSync();

  it('reads the same token layout from the prompts', () => {
    expect(rows[0]![0]).toBe(config.tokens.bos);
    expect(rows[0]![positions[0]![0]![0] - 1]).toBe(config.tokens.boi);
  });

  it.each([undefined, Math.max(...prompts.map((ids) => ids.length)) + 6])(
    'equals the plain forward with text padded to %s',
    (textLength) => {
      const condition = conditionOf(params, config, prompts, textLength === undefined ? {} : { textLength });
      const fast = velocityOf(params, config, half(x), half(t), condition, { guidanceScale: scale });
      relative(fast.velocity, guided, 'guided velocity');
      const expected = numbers(file('outputs.safetensors').v_cfg!).slice(0, guided.length);
      const tolerance = toleranceOf(json.float32_vs_float64, 'v_cfg');
      expectClose(channelsFirst(fast.velocity).dataSync(), expected, tolerance, 'v_cfg');
      const single = velocityOf(params, config, half(x), half(t), condition, { guidanceScale: 0 });
      relative(single.velocity, c.dataSync(), 'conditional velocity');
      relative(fast.conditional, c.dataSync(), 'conditional branch');
      const detached = { guidanceScale: scale, detachUnconditional: true };
      const split = velocityOf(params, config, half(x), half(t), condition, detached);
      relative(split.velocity, guided, 'split branches');
      relative(split.conditional, c.dataSync(), 'conditional one of split branches');
    },
  );

  it('equals it from kept features, with the text of the head cached or not', () => {
    for (const head of [false, true]) {
      const condition = conditionOf(params, config, prompts, { head });
      const options = { guidanceScale: scale };
      const { features } = velocityOf(params, config, half(x), half(t), condition, options);
      const again = compiled(() =>
        velocityFromFeatures(params, config, features, half(t), condition, half(x).shape, options),
      );
      relative(again, guided, 'velocity from features');
    }
  });

  it('runs one prompt for many rows, once', () => {
    const condition = conditionOf(params, config, [prompts[0]!]);
    const many = tf.concat([half(x), tf.mul(half(x), 0.5)]);
    const times = tf.fill([many.shape[0]!], 0.3);
    const all = velocityOf(params, config, many, times, condition, { guidanceScale: scale }).velocity;
    const last = tf.slice(many, [many.shape[0]! - 1, 0, 0, 0]);
    const one = velocityOf(params, config, last, tf.tensor1d([0.3]), condition, {
      guidanceScale: scale,
    }).velocity;
    relative(tf.slice(all, [many.shape[0]! - 1, 0, 0, 0]), one.dataSync(), 'last row');
  });

  it('gives the same with stacked layers, and unstacks to what it was', () => {
    let stacked = params;
    for (const base of Object.values(SHOWO2_LAYER_BASES)) stacked = stackLayers(stacked, base);
    const condition = conditionOf(stacked, config, prompts);
    const options = { guidanceScale: scale };
    relative(velocityOf(stacked, config, half(x), half(t), condition, options).velocity, guided, 'stacked');
    let back = stacked;
    for (const base of Object.values(SHOWO2_LAYER_BASES)) back = unstackLayers(back, base);
    expect(Object.keys(back).sort()).toEqual(Object.keys(params).sort());
    const name = 'diffusion_head_a.0.mlp.up_proj.weight';
    expect(Array.from(back[name]!.dataSync())).toEqual(Array.from(params[name]!.dataSync()));
  });

  it('integrates the ODE with the sampler as upstream', () => {
    const outputs = file('outputs.safetensors');
    const { grid_points: points, time_shifting_factor: shift } = json.config.ode;
    const schedule = shiftedSchedule(points - 1, shift);
    expectClose(schedule.times, numbers(outputs.ode_t!), 1e-6, 'ode_t');
    const condition = conditionOf(params, config, prompts, { head: true });
    const run = jit(
      (c: Showo2Condition, latents: tf.Tensor, times: tf.Tensor) =>
        showo2Velocity(params, config, latents, times, c, { guidanceScale: scale }).velocity,
    );
    const taken: tf.Tensor[] = [];
    const start = half(channelsLast(tf.unstack(toTensor(outputs.ode_samples!))[0]!));
    const final = sample(
      (latents, times) => {
        taken.push(tf.keep(tf.clone(latents)));
        return run(condition, latents, times);
      },
      { schedule, x: start, rule: 'ode' },
    );
    const expected = tf.unstack(toTensor(outputs.ode_samples!));
    const tolerance = toleranceOf(json.float32_vs_float64, 'ode_samples');
    [...taken, final].forEach((latents, i) => {
      const want = half(expected[i]!).dataSync();
      expectClose(channelsFirst(latents).dataSync(), want, tolerance, `ode_samples[${i}]`);
    });
  });

  it('has the gradients of all parameters, text path included', () => {
    const outputs = file('outputs.safetensors');
    const weight = channelsLast(toTensor(outputs.loss_weight!));
    const expected = file('grads_all.safetensors');
    const names = Object.keys(expected);
    const loss = (...xs: tf.Tensor[]) => {
      const p = { ...params, ...Object.fromEntries(names.map((name, i) => [name, xs[i]!])) };
      const { prompt, unconditional } = encodePrompts(p, config, prompts);
      const branch = (text: TextState) =>
        showo2Velocity(p, config, half(x), half(t), { prompt: text, unconditional }, { guidanceScale: 0 })
          .velocity;
      return tf.mean(tf.mul(tf.concat([branch(prompt), branch(unconditional)]), weight)) as tf.Scalar;
    };
    const { value, grads } = jit((...xs: tf.Tensor[]) => tf.valueAndGrads(loss)(xs))(
      ...names.map((name) => params[name]!),
    );
    expectClose(value.dataSync(), numbers(outputs.loss!), 1e-5, 'loss');
    names.forEach((name, i) => {
      const want = numbers(expected[name]!);
      expectClose(grads[i]!.dataSync(), want, Math.max(1e-4 * maxAbs(want), 1e-7), name);
    });
  });

  it('has no use for the vocabulary projection', () => {
    const { 'showo.lm_head.weight': _, ...without } = params;
    const condition = conditionOf(without, config, prompts);
    const options = { guidanceScale: scale };
    relative(velocityOf(without, config, half(x), half(t), condition, options).velocity, guided, 'guided');
  });

  it('has the head gradients of the guided loss, from kept features', () => {
    const outputs = file('outputs.safetensors');
    const weight = channelsLast(toTensor(outputs.cfg_loss_weight!));
    const expected = file('grads_head_cfg.safetensors');
    const names = Object.keys(expected);
    const condition: Showo2Condition = conditionOf(params, config, prompts);
    const options = { guidanceScale: scale };
    const { features } = velocityOf(params, config, half(x), half(t), condition, options);
    const loss = (...xs: tf.Tensor[]) => {
      const p = { ...params, ...Object.fromEntries(names.map((name, i) => [name, xs[i]!])) };
      const v = velocityFromFeatures(p, config, features, half(t), condition, half(x).shape, options);
      return tf.mean(tf.mul(v, weight)) as tf.Scalar;
    };
    const { value, grads } = jit((...xs: tf.Tensor[]) => tf.valueAndGrads(loss)(xs))(
      ...names.map((name) => params[name]!),
    );
    expectClose(value.dataSync(), numbers(outputs.cfg_loss!), 1e-5, 'cfg_loss');
    names.forEach((name, i) => {
      const want = numbers(expected[name]!);
      expectClose(grads[i]!.dataSync(), want, Math.max(1e-4 * maxAbs(want), 1e-7), name);
    });
  });

  it('lists exactly the parameters of the checkpoint, with their shapes', () => {
    const specs = showo2ParameterSpecs(config);
    const tied = 'showo.lm_head.weight';
    const names = Object.keys(params).filter((name) => name !== tied || !config.trunk.tieWordEmbeddings);
    expect(Object.keys(specs).sort()).toEqual(names.sort());
    for (const name of names) expect(specs[name]!.shape, name).toEqual(params[name]!.shape);
  });

  it('starts a new model with a velocity of zero, the same for the same seed', () => {
    const fresh = initShowo2Params(config, 7);
    const condition = conditionOf(fresh, config, prompts);
    const { velocity: v } = velocityOf(fresh, config, half(x), half(t), condition, {
      guidanceScale: scale,
    });
    expect(maxAbs(v.dataSync())).toBe(0);
    const name = 'showo.model.embed_tokens.weight';
    const values = fresh[name]!.dataSync() as Float32Array;
    expect(Array.from(initShowo2Params(config, 7)[name]!.dataSync())).toEqual(Array.from(values));
    const deviation = Math.sqrt(values.reduce((a, b) => a + b * b, 0) / values.length);
    expect(deviation).toBeGreaterThan(0.018);
    expect(deviation).toBeLessThan(0.022);
  });
});

describe.each(fixtureCases('showo2-video'))('$name', ({ dir }) => {
  it('denoises clips, with and without a given first frame', () => {
    const { json, config: read, params, read: file } = loadCase(dir);
    const given = file('inputs.safetensors');
    const positions = toPositions(given.modality_positions!);
    const rows = toTensor(given.text_tokens!).arraySync() as number[][];
    // What opens the block of a clip is read from the case, as is where it is.
    const opening = rows[0]![positions[0]![0]![0] - 1]!;
    expect(opening).toBe(read.tokens.bov);
    const config = { ...read, maxTextLength: 1000, tokens: { ...read.tokens, boi: opening } };
    const prompts = rows.map((row, i) => row.slice(1, positions[i]![0]![0] - 1));
    const condition = conditionOf(params, config, prompts);
    const x = channelsLast(toTensor(given.latents!));
    for (const firstFrameAsCondition of [false, true]) {
      const options = { guidanceScale: 0, firstFrameAsCondition };
      const { velocity: v } = velocityOf(params, config, x, toTensor(given.t!), condition, options);
      const key = firstFrameAsCondition ? 'v_pred_first_frame_as_cond' : 'v_pred';
      const tolerance = toleranceOf(json.float32_vs_float64, key);
      expectClose(channelsFirst(v).dataSync(), numbers(file('outputs.safetensors')[key]!), tolerance, key);
    }
  });
});

describe.each(fixtureCases('showo2-tiny'))('what the savings rest on, in $name', ({ dir }) => {
  const { config, params, read: file } = loadCase(dir);
  const given = file('inputs.safetensors');
  const positions = toPositions(given.modality_positions!);
  const rows = toTensor(given.text_tokens!).arraySync() as number[][];
  const latents = channelsLast(toTensor(given.latents!));
  const t = toTensor(given.t!);
  const forward = jit((tokens: tf.Tensor, x: tf.Tensor, times: tf.Tensor) => {
    const { velocity, hidden } = forwardSequence(params, config, { tokens, positions, latents: x, t: times });
    return { velocity, hidden };
  });
  const run = (tokens: number[][], x = latents, times = t) =>
    forward(tf.tensor2d(tokens, undefined, 'int32'), x, times);

  it('lets nothing after the image block, and no id inside it, be seen', () => {
    const other = rows.map((row, i) => {
      const [[start]] = positions[i] as [[number, number]];
      return row.map((id, at) => (at < start ? id : (7 * at + i) % config.vocabSize));
    });
    expect(other).not.toEqual(rows);
    const expected = run(rows).velocity.dataSync();
    expect(maxAbsDiff(run(other).velocity.dataSync(), expected)).toBe(0);
    const shortest = Math.max(...positions.map(([block]) => block![0] + block![1]));
    expect(shortest).toBeLessThan(rows[0]!.length);
    const cut = run(rows.map((row) => row.slice(0, shortest))).velocity.dataSync();
    expect(maxAbsDiff(cut, expected)).toBeLessThan(1e-5 * maxAbs(expected));
  });

  it('has text whose states depend neither on the image nor on the time', () => {
    const text = (x: tf.Tensor, times: tf.Tensor) => {
      const { hidden } = run(rows, x, times);
      return rows.flatMap((_, i) => {
        const before = positions[i]![0]![0] - 1;
        return [...tf.slice(hidden, [i, 0, 0], [1, before, -1]).dataSync()];
      });
    };
    expect(text(tf.mul(latents, -2), tf.sub(1, t))).toEqual(text(latents, t));
  });

  it('never reads keys and values that pad the text', () => {
    const longest = { ...config, maxTextLength: 1000 };
    const count = rows.length / 2;
    const prompts = rows.slice(0, count).map((row, i) => row.slice(1, positions[i]![0]![0] - 1));
    const textLength = Math.max(...prompts.map((ids) => ids.length)) + 3;
    const condition = conditionOf(params, longest, prompts, { textLength, head: true });
    const spoil = (state: TextState): TextState => {
      const wide = tf.greaterEqual(
        tf.reshape(tf.range(0, state.tokens.shape[1]!, 1, 'int32'), [1, -1]),
        tf.expandDims(state.lengths, 1),
      );
      const garbage = (x: tf.Tensor) =>
        tf.add(
          x,
          tf.mul(1e3, tf.cast(tf.reshape(wide, [wide.shape[0]!, 1, wide.shape[1]!, 1, 1]), 'float32')),
        );
      const { keys, values, headKeys, headValues } = state;
      return {
        ...{ ...state, keys: garbage(keys), values: garbage(values) },
        ...{ headKeys: garbage(headKeys!), headValues: garbage(headValues!) },
      };
    };
    const x = tf.slice(latents, [0, 0, 0, 0], [count, -1, -1, -1]);
    const times = tf.slice(t, [0], [count]);
    const guidedVelocity = jit(
      (c: Showo2Condition) => showo2Velocity(params, longest, x, times, c, { guidanceScale: 5 }).velocity,
    );
    const at = (c: Showo2Condition) => guidedVelocity(c).dataSync();
    const spoilt = { ...condition, prompt: spoil(condition.prompt) };
    expect(maxAbsDiff(spoilt.prompt.keys.dataSync(), condition.prompt.keys.dataSync())).toBeGreaterThan(100);
    expect(maxAbsDiff(at(spoilt), at(condition))).toBe(0);
  });
});
