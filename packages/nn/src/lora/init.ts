/** How adapters start, as PEFT's `init_lora_weights` says; all of them leave the model as it is. */
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { NamePattern, Params } from '../params';
import { checkScale, type LoraScale } from './adapters';
import { DOWN, linearShapes, loraTargets, UP } from './names';

/**
 * `kaiming`, PEFT's default: A uniform within ±1/√in, B zero. `gaussian`: A normal with deviation 1/rank, B zero.
 * `orthogonal`: both random, with orthogonal rows and columns so that B A is 0 up to rounding (an even rank).
 */
export type LoraInit = 'kaiming' | 'gaussian' | 'orthogonal';

export interface LoraConfig extends LoraScale {
  /** Which linear layers get an adapter, by name without `.weight`. */
  readonly targets: readonly NamePattern[];
  /** `kaiming` by default. */
  readonly init?: LoraInit;
}

/**
 * New adapters for the linear layers that fit the targets: `name.lora_A.weight` [rank, in], `name.lora_B.weight`
 * [out, rank], under the layers' own names whether those of `params` are stacked or not. Those of a layer are a function of
 * the seed and its name.
 *
 * @throws when a target fits no linear layer, and for a rank that is no positive integer.
 */
export function initLora(params: Params, config: LoraConfig, seed: number): Params {
  checkScale(config);
  const { rank, init = 'kaiming' } = config;
  if (init === 'orthogonal' && rank % 2 !== 0)
    throw new Error(`LoRA's orthogonal start needs an even rank, got ${rank}.`);
  const shapes = linearShapes(params);
  const adapters: Params = {};
  for (const name of loraTargets(params, config.targets)) {
    const [out, into] = shapes.get(name)!;
    const [down, up] = drawn(init, { rank, out, into }, seed, name);
    adapters[name + DOWN] = down;
    adapters[name + UP] = up;
  }
  return adapters;
}

interface Sizes {
  rank: number;
  out: number;
  into: number;
}

function drawn(
  init: LoraInit,
  { rank, out, into }: Sizes,
  seed: number,
  name: string,
): [tf.Tensor, tf.Tensor] {
  return tf.tidy(() => {
    const key = (part: number) => random.foldIn(random.foldIn(random.key(seed), hashOf(name)), part);
    if (init === 'gaussian') {
      return [tf.div(random.normal(key(0), [rank, into]), rank), tf.zeros([out, rank])];
    }
    if (init === 'kaiming') {
      const centred = tf.sub(random.uniform(key(0), [rank, into]), 0.5);
      return [tf.mul(centred, 2 / Math.sqrt(into)), tf.zeros([out, rank])];
    }
    // Even and odd rows of one orthogonal matrix: A lies in the span of the former, B in that of the latter.
    const square = orthogonal(random.normal(key(2), [rank, rank]).arraySync() as number[][]);
    const half = (odd: number) => tf.tensor2d(square.filter((_, i) => i % 2 === odd));
    const wide = random.normal(key(0), [into, rank / 2]) as tf.Tensor2D;
    const tall = random.normal(key(1), [out, rank / 2]) as tf.Tensor2D;
    return [tf.div(tf.matMul(half(1), wide, true, true), 10), tf.div(tf.matMul(tall, half(0)), 10)];
  }) as [tf.Tensor, tf.Tensor];
}

/** Rows made orthonormal, one after the other (modified Gram-Schmidt, twice for accuracy). */
function orthogonal(rows: readonly (readonly number[])[]): number[][] {
  const done: number[][] = [];
  for (const row of rows) {
    let rest = [...row];
    for (let pass = 0; pass < 2; pass++) {
      for (const other of done) {
        const along = rest.reduce((sum, x, i) => sum + x * other[i]!, 0);
        rest = rest.map((x, i) => x - along * other[i]!);
      }
    }
    const length = Math.hypot(...rest);
    done.push(rest.map((x) => x / length));
  }
  return done;
}

/** FNV-1a of a name, a non-negative int32. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193);
  return hash >>> 1;
}
