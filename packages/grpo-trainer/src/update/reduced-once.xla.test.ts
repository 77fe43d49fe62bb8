/** Gradients of weights that are whole on every device meet once per update, not once per pass. */
import { PjrtClient, type PjrtExecutable } from '@flow-grpo/pjrt';
import { showo2Policy } from '@flow-grpo/showo2-model/policy';
import { type Collective, collectivesOf } from '@flow-grpo/test-support/collectives';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';
import type { Policy } from '../policy';
import { train } from '../train';
import type { TrainOptions } from '../train-options';

beforeAll(async () => {
  configure({ devices: 4, compilationCache: false });
  expect(await tf.setBackend('xla')).toBe(true);
});
afterAll(() => tf.setBackend('cpu'));

const ROWS = 4;
const METRICS = 9;
/** Numbers of an image's latents, and of the features of one branch. */
const LATENTS = 64;
const FEATURES = 160;

/** Of each batch of a prompt, the first half has the mean reward and so no advantage: the first devices have nothing. */
const halfAlike = async (images: tf.Tensor4D) =>
  Array.from({ length: images.shape[0] }, (_, i) => (i < images.shape[0] / 2 ? 0 : (-1) ** i));

/** The programs of a run by name, and how many numbers train. */
async function programsOf(
  devices: number,
  names: readonly string[] | undefined,
  scorer: TrainOptions<unknown, unknown>['scorer'],
) {
  const programs = new Map<string, PjrtExecutable>();
  const keep = (text: unknown, program: PjrtExecutable) => {
    programs.set(/^module @(\w+)/.exec(String(text))![1]!, program);
    return program;
  };
  // The run's programs are compiled ahead; what was not foreseen, when it is called.
  const { compile, compileSync } = PjrtClient.prototype;
  const spies = [
    vi.spyOn(PjrtClient.prototype, 'compile').mockImplementation(async function (
      this: PjrtClient,
      text,
      options,
    ) {
      return keep(text, await compile.call(this, text, options));
    }),
    vi.spyOn(PjrtClient.prototype, 'compileSync').mockImplementation(function (
      this: PjrtClient,
      text,
      options,
    ) {
      return keep(text, compileSync.call(this, text, options));
    }),
  ];
  try {
    const { trained, ema } = await train({
      policy: showo2Policy({ ...tinyShowo2(), guidanceScale: 3, ...(names && { train: names }) }) as Policy,
      prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
      scorer,
      config: {
        ...{ epochs: 1, devices },
        // Their programs are not about gradients.
        divergence: { action: 'off' },
        hacking: { action: 'off' },
        sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 8 },
        training: { batchSize: ROWS, stepsPerPass: 1, updatesPerEpoch: 2 },
      },
    });
    const weights = Object.values(trained).map(({ size }) => size);
    tf.dispose([trained, ema]);
    return { programs, weights };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

it.each([
  [2, 'as many', 'the head', undefined, brightness],
  [4, 'as many', 'trunk, text and head', ['showo.model.layers.*', 'diffusion_head_*'], brightness],
  [2, 'unequally many', 'the head', undefined, halfAlike],
])(
  'on %d devices with %s images passes exchange metrics, the optimizer all gradients: %s',
  async (devices, images, _, names, scorer) => {
    const { programs, weights } = await programsOf(devices, names, scorer);
    const exchanged = (name: string) => collectivesOf(programs.get(name)!.optimizedProgram());
    const total = (some: readonly Collective[]) => some.reduce((sum, { elements }) => sum + elements, 0);
    const isRows = ({ opcode }: Collective) => opcode === 'reduce-scatter';
    for (const name of ['gradientPass', 'measurePass']) {
      const rows = exchanged(name).filter(isRows);
      if (images === 'as many') {
        // Records stay on the device that made them.
        expect(rows, name).toEqual([]);
      } else {
        // Each device's share of a pass: one image and step, its states before and after, its features, a log-probability.
        expect(rows.length, name).toBeGreaterThanOrEqual(2);
        expect(total(rows), name).toBeLessThanOrEqual((ROWS / devices) * (2 * LATENTS + 2 * FEATURES + 1));
      }
      // Row numbers, the ratio of each row for its step, and metrics.
      const numbers = exchanged(name).filter((each) => !isRows(each));
      expect(total(numbers), name).toBeLessThanOrEqual(3 * ROWS + METRICS * (1 + devices));
    }
    if (images !== 'as many') return; // what follows is compiled by then
    expect(exchanged('prepareGradients')).toEqual([]);
    // A plugin may reduce some weights together, or all.
    const reduced = exchanged('optimizerStep');
    expect(new Set(reduced.map(({ opcode }) => opcode))).toEqual(new Set(['all-reduce']));
    expect(total(reduced)).toBe(weights.reduce((sum, size) => sum + size, 0));
  },
);
