import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  expectClose,
  type FixtureTensor,
  fixtureCases,
  maxAbs,
  numbers,
  readJson,
  readTensors,
} from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { sd3Convention, showo2Convention } from '../conventions';
import { sampleTrajectory } from '../loops/sample';
import { diffusersSchedule, dynamicShift, planSteps, shiftedSchedule, trainableSteps } from '../schedules';
import { logProbOf, sdeStep } from './step';

interface StepCase {
  key: string;
  t: number;
  t_next: number;
  alpha: number;
  step_std: number;
  log_prob: string | null;
}
interface Sd3Case {
  noise_level: number;
  shift_of_sd3: number;
  mu_of_flux: number;
  steps: { key: string; sigma: number; sigma_prev: number }[];
}
interface Trajectories {
  shift: number;
  trajectories: { key: string; steps: number; alpha: number; trained_steps: number[] }[];
}

const tensor = (f: FixtureTensor) => tf.tensor(numbers(f), f.shape, 'float32');
const relative = (actual: ArrayLike<number>, expected: number[], tolerance: number, label: string) =>
  expectClose(actual, expected, tolerance * Math.max(1, maxAbs(expected)), label);

for (const { name, dir } of fixtureCases('sde-step')) {
  describe(name, () => {
    const values = readTensors(dir, 'steps.safetensors');
    for (const { key, t, t_next, alpha, step_std } of readJson<StepCase[]>(dir, 'steps.json')) {
      it(`${key}: one step from ${t} to ${t_next} at noise level ${alpha}`, () => {
        const [x, velocity, noise] = ['x', 'v', 'noise'].map((part) => tensor(values[`${key}.${part}`]!));
        const spec = { x: x!, velocity: velocity!, t, tNext: t_next, noiseLevel: alpha };
        for (const convention of [showo2Convention, sd3Convention]) {
          const mirrored = convention === sd3Convention;
          const step = mirrored
            ? { ...spec, convention, velocity: tf.neg(velocity!), t: 1 - t, tNext: 1 - t_next }
            : spec;
          const { mean, next, std, logProb } = sdeStep({ ...step, noise });
          expectClose(mean.dataSync(), numbers(values[`${key}.mean`]!), 2e-6, 'mean');
          expectClose(next.dataSync(), numbers(values[`${key}.x_next`]!), 2e-6, 'x_next');
          expect(std).toBeCloseTo(step_std, 12);
          const expected = values[`${key}.log_prob`];
          if (!expected) {
            expect(logProb).toBeUndefined();
            continue;
          }
          expectClose(logProb!.dataSync(), numbers(expected), 5e-6, 'log_prob');
          const given = logProbOf(tensor(values[`${key}.x_next`]!), step);
          expectClose(given.dataSync(), numbers(expected), 5e-6, 'log_prob of the stored next sample');
        }
      });
    }

    const sd3Values = readTensors(dir, 'sd3.safetensors');
    const sd3Case = readJson<Sd3Case>(dir, 'sd3.json');
    for (const { key, sigma, sigma_prev } of sd3Case.steps) {
      it(`${key}: flow_grpo's step from sigma ${sigma} to ${sigma_prev}`, () => {
        const get = (part: string) => tensor(sd3Values[`${key}.${part}`]!);
        const step = {
          x: get('sample'),
          velocity: get('model_output'),
          t: sigma,
          tNext: sigma_prev,
          noiseLevel: sd3Case.noise_level,
          convention: sd3Convention,
          sigmaFloor: sigma === 1 ? sigma_prev : undefined,
        };
        const { mean, next, logProb } = sdeStep({ ...step, noise: get('noise') });
        expectClose(mean.dataSync(), numbers(sd3Values[`${key}.prev_sample_mean`]!), 2e-6, 'mean');
        expectClose(next.dataSync(), numbers(sd3Values[`${key}.prev_sample`]!), 2e-6, 'prev_sample');
        relative(logProb!.dataSync(), numbers(sd3Values[`${key}.log_prob`]!), 1e-5, 'log_prob');
        const given = logProbOf(get('given_prev_sample'), step);
        relative(given.dataSync(), numbers(sd3Values[`${key}.given_log_prob`]!), 1e-5, 'given_log_prob');
      });
    }

    it("the schedules of SD3's and Flux's pipelines", () => {
      const fixed = numbers(sd3Values['sd3.sigmas']!);
      expectClose(diffusersSchedule(fixed.length - 1, sd3Case.shift_of_sd3).times, fixed, 2e-7, 'sd3');
      const dynamic = numbers(sd3Values['flux.sigmas']!);
      const shift = Math.exp(sd3Case.mu_of_flux);
      expectClose(shiftedSchedule(dynamic.length - 1, shift, sd3Convention).times, dynamic, 2e-7, 'flux');
      expect(Math.log(dynamicShift(4096))).toBeCloseTo(1.15, 12);
      expect(Math.log(dynamicShift(256))).toBeCloseTo(0.5, 12);
    });

    const runs = readTensors(dir, 'trajectories.safetensors');
    const { shift, trajectories } = readJson<Trajectories>(dir, 'trajectories.json');
    for (const { key, steps, alpha, trained_steps } of trajectories) {
      it(`${key}: a trajectory of ${steps} steps`, () => {
        const [grid, policy] = key.split('.') as [string, string];
        const all = Array.from({ length: steps }, (_, i) => i);
        const schedule = shiftedSchedule(steps, shift);
        expectClose(schedule.times, numbers(runs[`${grid}.t`]!), 1e-12, 't');
        const A = tensor(runs.A!);
        const b = tensor(runs.b!);
        const options = {
          schedule,
          rule: policy === 'euler' ? ('ode' as const) : ('sde' as const),
          noiseLevel: alpha,
          ends: policy === 'floor-sde' ? ('floor' as const) : ('ode' as const),
        };
        expect(trainableSteps(schedule, options)).toEqual(trained_steps);
        expectClose(
          planSteps(schedule, options).map(({ std }) => std),
          numbers(runs[`${key}.step_std`]!),
          1e-12,
          'step_std',
        );
        const run = sampleTrajectory(
          (x, _t, { time }) =>
            tf.add(tf.matMul(x as tf.Tensor2D, A as tf.Tensor2D, false, true), tf.mul(b, time)),
          { ...options, x: tensor(runs.x0!), noise: tensor(runs[`${grid}.noise`]!), steps: all },
        );
        const x = [...run.latents, run.final].flatMap((each) => [...each.dataSync()]);
        // Errors of the steps add up along the run, each within a step's tolerance.
        relative(x, numbers(runs[`${key}.x`]!), 2e-6, 'x');
        relative(
          run.means.flatMap((each) => [...each.dataSync()]),
          numbers(runs[`${key}.mean`]!),
          2e-6,
          'mean',
        );
        const expected = numbers(runs[`${key}.log_prob`]!);
        const batch = expected.length / steps;
        for (const i of trained_steps) {
          const row = expected.slice(i * batch, (i + 1) * batch);
          expectClose(run.logProbs[i]!.dataSync(), row, 5e-6, `log_prob of step ${i}`);
        }
      });
    }

    it('has every file the suite reads', () => {
      for (const file of ['steps.safetensors', 'sd3.safetensors', 'trajectories.safetensors']) {
        expect(existsSync(join(dir, file))).toBe(true);
      }
    });
  });
}
