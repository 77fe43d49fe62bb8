import { configure } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { makeReward, namedReward } from '../by-name';
import { multiScore } from '../compose';
import type { Scorer } from '../scorer';
import { reported, UsageError } from './usage-error';

export interface RewardFlags {
  /** `name` or `name=weight`. */
  reward: string[];
  /** `reward.option=value`. */
  set: string[];
  backend: string;
  device?: string;
}

/** What the flags ask for, checked as far as it can be without loading anything. */
export interface RewardPlan {
  readonly parts: readonly { name: string; weight: number; options: Record<string, unknown> }[];
  readonly needsPrompts: boolean;
  make(): Promise<Scorer>;
}

/** @throws {UsageError} naming the reward, weight, option or device that is wrong. */
export async function planRewards(flags: RewardFlags): Promise<RewardPlan> {
  if (flags.reward.length === 0) throw new UsageError('--reward names no reward');
  const parts = await reported(async () =>
    flags.reward.map((given) => {
      const [name = '', weight = '1'] = given.split('=');
      namedReward(name);
      if (weight.trim() === '' || !Number.isFinite(Number(weight))) {
        throw new UsageError(`--reward ${given}: the weight must be a number`);
      }
      return { name, weight: Number(weight), options: {} as Record<string, unknown> };
    }),
  );
  for (const setting of flags.set) {
    const [, name, option, value] = /^([^.=]+)\.([^.=]+)=(.*)$/s.exec(setting) ?? [];
    const part = parts.find((one) => one.name === name);
    if (!part || option === undefined || value === undefined) {
      const there = parts.map((one) => one.name).join(', ');
      throw new UsageError(`--set ${setting}: not of the form reward.option=value with a reward of ${there}`);
    }
    part.options[option] = parsedValue(value);
  }
  const kinds = parts.map(({ name }) => namedReward(name));
  return {
    parts,
    needsPrompts: kinds.some((kind) => kind.needsPrompts),
    make: () =>
      reported(async () => {
        if (kinds.some((kind) => kind.needsBackend)) await startBackend(flags);
        const made: { scorer: Scorer; weight: number; name: string }[] = [];
        for (const { name, weight, options } of parts) {
          made.push({ scorer: await makeReward(name, options), weight, name });
        }
        return made.length === 1 && made[0]!.weight === 1 ? made[0]!.scorer : multiScore(made);
      }),
  };
}

/** JSON where it is a number, true or false; else the text itself. */
const parsedValue = (text: string): unknown =>
  /^(true|false|-?\d+(\.\d+)?(e-?\d+)?)$/i.test(text) ? JSON.parse(text.toLowerCase()) : text;

async function startBackend({ backend, device }: RewardFlags): Promise<void> {
  if (device !== undefined) chooseDevice(device);
  if (backend === 'cpu') {
    await import('@tensorflow/tfjs-backend-cpu').catch((cause: unknown) => {
      throw new Error('--backend cpu needs the package @tensorflow/tfjs-backend-cpu: npm install it', {
        cause,
      });
    });
  }
  const started = await tf.setBackend(backend).catch((error: Error) => error);
  if (started === true) return;
  const why = started === false ? '' : `: ${started.message}`;
  const help = backend === 'xla' ? '\nnpx pjrt doctor says what is missing; --backend cpu does without' : '';
  throw new Error(`the backend ${backend} does not start${why}${help}`);
}

/** CUDA hides the GPUs that a process shall not use, so the choice comes before the backend starts. */
function chooseDevice(device: string): void {
  const [, platform, index] = /^(cpu|cuda)(?::(\d+))?$/.exec(device) ?? [];
  if (platform === undefined || (platform === 'cpu' && index !== undefined)) {
    throw new Error(`--device ${device}: it must be cpu, cuda, or cuda:N with the GPU's number`);
  }
  if (index !== undefined) process.env.CUDA_VISIBLE_DEVICES = index;
  configure({ platform: platform as 'cpu' | 'cuda' });
}
