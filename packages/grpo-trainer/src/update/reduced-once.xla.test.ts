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

beforeAll(async () => {
  configure({ cpuDevices: 4, compilationCache: false });
  expect(await tf.setBackend('xla')).toBe(true);
});
afterAll(() => tf.setBackend('cpu'));

const ROWS = 4;
const METRICS = 9;
/** Numbers of an image's latents, and of the features of one branch. */
const LATENTS = 64;
const FEATURES = 160;

/** The programs of a run by name, and how many numbers train. */
async function programsOf(devices: number, names: readonly string[] | undefined) {
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
      scorer: brightness,
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
  [2, 'the head', undefined],
  [4, 'trunk, text and head', ['showo.model.layers.*', 'diffusion_head_*']],
])(
  'on %d devices passes exchange rows and metrics, the optimizer all gradients: %s',
  async (devices, _, names) => {
    const { programs, weights } = await programsOf(devices, names);
    const exchanged = (name: string) => collectivesOf(programs.get(name)!.optimizedProgram());
    const total = (some: readonly Collective[]) => some.reduce((sum, { elements }) => sum + elements, 0);
    const isRows = ({ opcode }: Collective) => opcode === 'reduce-scatter';
    for (const name of ['gradientPass', 'measurePass']) {
      // Each device's share of a pass: one image and step, its states before and after, its features, a log-probability.
      const rows = exchanged(name).filter(isRows);
      expect(rows.length).toBeGreaterThanOrEqual(2);
      expect(total(rows), name).toBeLessThanOrEqual((ROWS / devices) * (2 * LATENTS + 2 * FEATURES + 1));
      // Row numbers, the ratio of each row for its step, and metrics.
      const numbers = exchanged(name).filter((each) => !isRows(each));
      expect(total(numbers), name).toBeLessThanOrEqual(3 * ROWS + METRICS * (1 + devices));
    }
    expect(exchanged('prepareGradients')).toEqual([]);
    // A plugin may reduce some weights together, or all.
    const reduced = exchanged('optimizerStep');
    expect(new Set(reduced.map(({ opcode }) => opcode))).toEqual(new Set(['all-reduce']));
    expect(total(reduced)).toBe(weights.reduce((sum, size) => sum + size, 0));
  },
);
