import * as tf from '@tensorflow/tfjs-core';
import type { PerSample } from '../broadcast';
import { type Convention, showo2Convention, toDataTime } from '../conventions';
import { type Density, type RuleName, ruleOf, type StepRule } from '../rules';
import { type Arithmetic, doubles, tensors } from '../rules/arithmetic';

/** One step, in the model's own convention. Times and noise level per batch, or per sample as [B]. */
export interface StepSpec {
  /** Default 'sde'. */
  rule?: RuleName | StepRule;
  t: PerSample;
  tNext: PerSample;
  /** ≥ 0, usually up to 1; 0 is the Euler step of the ODE, bit for bit. CPS takes 0..1. */
  noiseLevel: PerSample;
  /** Default `showo2Convention`. */
  convention?: Convention;
  /**
   * SDE only: a model time that stands in the denominator of σ for samples noisier than it. flow_grpo uses
   * the schedule's second point, for the step from pure noise alone, where σ is infinite without it.
   */
  sigmaFloor?: number;
  /** Default the rule's own: 'unnormalized' for 'cps', as published, else 'gaussian'. */
  density?: Density;
}

/**
 * A step made ready: next = x + (xCoefficient·x + velocityCoefficient·velocity) + std·noise on the model's own velocity,
 * log p = logConstant − ½·mean((residualScale·(next − mean))²). Plain numbers, or scalar or [B] tensors. Where
 * std is 0 there is no density: residualScale and logConstant are 0.
 */
export type StepCoefficients<N = number | tf.Tensor> = {
  /** The time to give to the model, in its convention. */
  t: N;
  xCoefficient: N;
  velocityCoefficient: N;
  std: N;
  residualScale: N;
  logConstant: N;
  /** |tNext − t| in data time. */
  dt: N;
};

/** The coefficients of several steps: one float32 tensor [steps] each. Of one step, scalars. */
export type StepTensors = StepCoefficients<tf.Tensor>;

/** The coefficients' names. */
export const coefficientNames = [
  't',
  'xCoefficient',
  'velocityCoefficient',
  'std',
  'residualScale',
  'logConstant',
  'dt',
] as const satisfies readonly (keyof StepCoefficients)[];

/**
 * The coefficients of a step. From numbers they are host doubles; from [B] arrays, [B] tensors rounded from
 * doubles; if any of t, tNext, noiseLevel is a tensor they are computed on the device in float32, where no
 * value can be checked: a step with noise from pure noise then needs `sigmaFloor`, or it gives infinities.
 * Where no sample draws noise (rule 'ode', noise level 0) `std` is the number 0 in every case.
 */
export function coefficientsOf(spec: StepSpec): StepCoefficients {
  const { t, tNext, noiseLevel } = spec;
  if ([t, tNext, noiseLevel].some((value) => value instanceof tf.Tensor)) return onDevice(spec);
  const lists = [t, tNext, noiseLevel].filter((value) => typeof value !== 'number') as (readonly number[])[];
  if (lists.length === 0) return hostCoefficients(spec, t as number, tNext as number, noiseLevel as number);
  const batch = lists[0]!.length;
  if (lists.some((list) => list.length !== batch)) {
    throw new Error('t, tNext and noiseLevel have different numbers of samples');
  }
  const at = (value: PerSample, i: number) => (typeof value === 'number' ? value : (value as number[])[i]!);
  const rows = Array.from({ length: batch }, (_, i) =>
    hostCoefficients(spec, at(t, i), at(tNext, i), at(noiseLevel, i)),
  );
  const columns = coefficientNames.map((name) => [name, tf.tensor1d(rows.map((row) => row[name]))]);
  const coefficients = Object.fromEntries(columns) as StepCoefficients;
  return rows.every(({ std }) => std === 0) ? withoutNoise(coefficients) : coefficients;
}

/** The coefficients with their lack of noise known to the host, not only to a tensor. */
const withoutNoise = (c: StepCoefficients): StepCoefficients => ({
  ...c,
  std: 0,
  residualScale: 0,
  logConstant: 0,
});

/** The coefficients of one step as host doubles. Throws a RangeError on a step that does not exist. */
export function hostCoefficients(
  spec: Pick<StepSpec, 'rule' | 'convention' | 'sigmaFloor' | 'density'>,
  time: number,
  timeNext: number,
  noiseLevel: number,
): StepCoefficients<number> {
  const { convention = showo2Convention } = spec;
  const rule = ruleOf(spec.rule ?? 'sde');
  const t = toDataTime(time, convention);
  const tNext = toDataTime(timeNext, convention);
  const sigmaFloor = floorOf(spec);
  if (!(t >= 0 && tNext <= 1 && t < tNext)) {
    const { name, noiseTime, dataTime } = convention;
    throw new RangeError(
      `no step from ${time} to ${timeNext}: ${name} runs from ${noiseTime} (noise) to ${dataTime} (data)`,
    );
  }
  if (!(noiseLevel >= 0 && noiseLevel < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`the noise level must be 0 or more, not ${noiseLevel}`);
  }
  const { name, maxNoiseLevel = Number.POSITIVE_INFINITY } = rule;
  if (noiseLevel > maxNoiseLevel) {
    throw new RangeError(`the noise level of ${name} is between 0 and ${maxNoiseLevel}, not ${noiseLevel}`);
  }
  if (rule.singularAtNoise && noiseLevel > 0 && t === 0 && !(sigmaFloor > 0)) {
    throw new RangeError(
      `sigma is infinite at pure noise (time ${time}): take this step without noise, or give sigmaFloor`,
    );
  }
  return assemble(doubles, spec, { t, tNext, noiseLevel, sigmaFloor }, time);
}

function onDevice(spec: StepSpec): StepCoefficients {
  const { convention = showo2Convention } = spec;
  const tensor = (value: PerSample) =>
    value instanceof tf.Tensor
      ? value
      : typeof value === 'number'
        ? tf.scalar(value)
        : tf.tensor1d([...value]);
  const [time, timeNext, noiseLevel] = [spec.t, spec.tNext, spec.noiseLevel].map(tensor) as tf.Tensor[];
  const input = {
    t: toDataTime(time!, convention),
    tNext: toDataTime(timeNext!, convention),
    noiseLevel: noiseLevel!,
    sigmaFloor: tf.scalar(floorOf(spec)),
  };
  const coefficients = assemble(tensors, spec, input, time!);
  return spec.rule === 'ode' || spec.noiseLevel === 0 ? withoutNoise(coefficients) : coefficients;
}

/** `sigmaFloor` in data time; 0 where there is none. */
const floorOf = ({
  sigmaFloor,
  convention = showo2Convention,
}: Pick<StepSpec, 'sigmaFloor' | 'convention'>) =>
  sigmaFloor === undefined ? 0 : toDataTime(sigmaFloor, convention);

function assemble<N extends number | tf.Tensor>(
  a: Arithmetic<N>,
  spec: Pick<StepSpec, 'rule' | 'convention' | 'density'>,
  input: { t: N; tNext: N; noiseLevel: N; sigmaFloor: N },
  t: N,
): StepCoefficients<N> {
  const { convention = showo2Convention } = spec;
  const rule = ruleOf(spec.rule ?? 'sde');
  const density = spec.density ?? rule.density;
  const { xCoefficient, velocityCoefficient, std } = rule.gaussian(a, input);
  const [zero, one] = [a.constant(0), a.constant(1)];
  const safe = a.ifPositive(std, std, one);
  const gaussian = density === 'gaussian';
  const scale = gaussian ? a.div(one, safe) : a.constant(Math.SQRT2);
  const constant = gaussian ? a.sub(a.constant(-0.5 * Math.log(2 * Math.PI)), a.log(safe)) : zero;
  return {
    t,
    xCoefficient,
    velocityCoefficient: a.mul(a.constant(convention.velocitySign), velocityCoefficient),
    std,
    residualScale: a.ifPositive(std, scale, zero),
    logConstant: a.ifPositive(std, constant, zero),
    dt: a.sub(input.tNext, input.t),
  };
}
