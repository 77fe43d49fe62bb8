import { loadBackend, startBackend } from '../backend';
import { multiScore } from '../compose';
import { type FoundReward, findReward, makeFoundReward } from '../registry/find';
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
  readonly needsPrompts: boolean;
  make(): Promise<Scorer>;
}

interface Part extends FoundReward {
  readonly weight: number;
  readonly options: Record<string, unknown>;
}

/** @throws {UsageError} naming the reward, weight, option or device that is wrong. */
export async function planRewards(flags: RewardFlags): Promise<RewardPlan> {
  if (flags.reward.length === 0) throw new UsageError('--reward: give the name of a reward');
  const parts = await reported(() => Promise.all(flags.reward.map(partOf)));
  for (const setting of flags.set) applySetting(setting, parts);
  return {
    needsPrompts: parts.some(({ definition }) => definition.needsPrompts ?? true),
    make: () =>
      reported(async () => {
        if (parts.some(({ definition }) => definition.needsBackend)) await start(flags);
        const made: { scorer: Scorer; weight: number; name: string }[] = [];
        for (const part of parts) {
          const { weight, name, options } = part;
          made.push({ scorer: await makeFoundReward(part, options), weight, name });
        }
        return made.length === 1 && made[0]!.weight === 1 ? made[0]!.scorer : multiScore(made);
      }),
  };
}

/** `name`, `name=weight`, or the path of a module in place of the name. */
async function partOf(given: string): Promise<Part> {
  const [, name = '', weight = '1'] = /^(.*?)(?:=([^=\\/]*))?$/s.exec(given) ?? [];
  const found = await findReward(name);
  if (weight.trim() === '' || !Number.isFinite(Number(weight))) {
    throw new UsageError(`--reward ${given}: the weight must be a number`);
  }
  return { ...found, weight: Number(weight), options: {} };
}

function applySetting(setting: string, parts: readonly Part[]): void {
  const [, name, option, value] = /^([^.=]+)\.([^.=]+)=(.*)$/s.exec(setting) ?? [];
  const part = parts.find((one) => one.name === name);
  if (!part || option === undefined || value === undefined) {
    const there = parts.map((one) => one.name).join(', ');
    throw new UsageError(`--set ${setting}: not of the form reward.option=value with a reward of ${there}`);
  }
  part.options[option] = parsedValue(value);
}

/** JSON where it is a number, true or false; else the text itself. */
const parsedValue = (text: string): unknown =>
  /^(true|false|-?\d+(\.\d+)?(e-?\d+)?)$/i.test(text) ? JSON.parse(text.toLowerCase()) : text;

async function start({ backend, device }: RewardFlags): Promise<void> {
  const platform = device === undefined ? undefined : chosenPlatform(device);
  await loadBackend(backend);
  if (backend === 'xla') {
    const { configure } = await import('@flow-grpo/tfjs-backend-xla');
    // Scorers are small: they leave a GPU's memory to the run beside them, and other GPUs alone.
    configure({ ...(platform && { platform }), devices: 1, preallocate: false });
  }
  await startBackend(backend);
}

/** CUDA hides the GPUs that a process shall not use, so the choice comes before the backend starts. */
function chosenPlatform(device: string): 'cpu' | 'cuda' {
  const [, platform, index] = /^(cpu|cuda)(?::(\d+))?$/.exec(device) ?? [];
  if (platform === undefined || (platform === 'cpu' && index !== undefined)) {
    throw new Error(`--device ${device}: it must be cpu, cuda, or cuda:N with the GPU's number`);
  }
  if (index !== undefined) process.env.CUDA_VISIBLE_DEVICES = index;
  return platform as 'cpu' | 'cuda';
}
