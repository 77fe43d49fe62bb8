import { describe, expect, it } from 'vitest';
import { randomAt } from '../random';
import { checkHacking, detectHacking, type HackingOptions, initialHackingState } from './hacking';
import recorded from './testing/quickstart-runs.json' with { type: 'json' };

type Metrics = Record<string, number>;
const options: HackingOptions = { window: 10, tolerance: 1 };
const random = randomAt(3);
const noise = (size: number) => size * (2 * random() - 1);

/** What the quickstart looks like at its start. */
const start: Metrics = {
  reward: 0.6,
  rewardStd: 0.25,
  'images.brightness': 0.89,
  'images.nearBlack': 0.004,
  'images.nearWhite': 0.002,
  'images.edgeDensity': 0.049,
  'images.sharpness': 0.107,
  'images.colorEntropy': 0.69,
  'images.diversity': 0.165,
  velocityNorm: 1.3,
};

/** A run whose numbers go from those of the start to these, with noise of a tenth of each. */
function problemsOf(end: Metrics, { epochs = 60, window = 10, tolerance = 1 } = {}) {
  let state = initialHackingState;
  const problems: string[] = [];
  const good: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    const share = Math.min(1, epoch / (epochs - window));
    const metrics = Object.fromEntries(
      Object.entries({ ...start, ...end }).map(([name, to]) => {
        const from = start[name]!;
        return [name, (from + share * (to - from)) * (1 + noise(0.1))];
      }),
    );
    const verdict = checkHacking(state, epoch, metrics, { window, tolerance });
    state = verdict.state;
    if (verdict.problem) {
      problems.push(verdict.problem);
      good.push(verdict.goodEpochs!);
    }
  }
  return { problems, good, state };
}

describe('checkHacking', () => {
  it.each([
    [{ 'images.nearBlack': 0.045 }, /near-black pixels take over \(images.nearBlack went from 0\.\d+ % to/],
    [{ 'images.nearWhite': 0.3 }, /near-white pixels take over/],
    [{ 'images.brightness': 0.6 }, /images grow dark/],
    [{ 'images.edgeDensity': 0.15 }, /edges fill the images/],
    [{ 'images.edgeDensity': 0.01 }, /edges vanish/],
    [{ 'images.sharpness': 0.3 }, /grainy or over-sharp/],
    [{ 'images.sharpness': 0.02 }, /blurred or flat/],
    [{ 'images.colorEntropy': 0.2 }, /few colours are left/],
    [{ 'images.diversity': 0.05 }, /a prompt's images grow alike/],
    [{ velocityNorm: 2.6 }, /velocities grow longer/],
    [{ velocityNorm: 0.6 }, /velocities grow shorter/],
  ])('names %j, once, while the reward rises', (end, words) => {
    const { problems, good } = problemsOf({ reward: 0.85, ...end } as Metrics);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(words);
    expect(problems[0]).toMatch(/^epoch \d+: while the reward rose from 0\.\d+ to 0\.\d+, /);
    const [epoch] = /\d+/.exec(problems[0]!)!;
    expect(good[0]).toBeGreaterThan(9);
    expect(good[0]).toBeLessThan(Number(epoch));
    // Not while it falls, or stays.
    expect(problemsOf({ reward: 0.3, ...end } as Metrics).problems).toEqual([]);
    expect(problemsOf(end as unknown as Metrics).problems).toEqual([]);
    // A limit of your own.
    expect(problemsOf({ reward: 0.85, ...end } as Metrics, { tolerance: 20 }).problems).toEqual([]);
  });

  it('is silent on what a good run of the quickstart changes', () => {
    const end = {
      reward: 0.8,
      'images.brightness': 0.885,
      'images.nearBlack': 0.013,
      'images.edgeDensity': 0.051,
      'images.sharpness': 0.119,
      'images.diversity': 0.175,
      velocityNorm: 1.35,
    };
    expect(problemsOf(end, { epochs: 200 }).problems).toEqual([]);
  });

  it('does not take noise for drift', () => {
    let state = initialHackingState;
    for (let epoch = 0; epoch < 400; epoch++) {
      const wild = { reward: 0.5 + 0.001 * epoch, rewardStd: 0.1, 'images.nearBlack': Math.abs(noise(0.04)) };
      const verdict = checkHacking(state, epoch, wild, options);
      expect(verdict.problem).toBeUndefined();
      state = verdict.state;
    }
  });

  it('says afterwards what it would have said', () => {
    const epochs = Array.from({ length: 40 }, (_, epoch) => ({
      ...start,
      epoch,
      reward: 0.6 + 0.01 * epoch,
      'images.nearBlack': 0.004 + 0.001 * epoch,
    }));
    expect(detectHacking(epochs, options)).toEqual([expect.stringMatching(/near-black pixels take over/)]);
    expect(detectHacking(epochs.slice(0, 20), options)).toEqual([]);
    expect(() => detectHacking([{ epoch: 0, reward: 1 }], options)).toThrow(/hacking.action off/);
  });

  it('looks at what there is, and forgets nothing between epochs', () => {
    const { state } = problemsOf({ reward: 0.85, 'images.nearBlack': 0.045 });
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
    expect(state.told).toEqual(['near-black pixels take over']);
    expect(state.recent.reward).toHaveLength(10);
    const bare = checkHacking(initialHackingState, 0, { reward: Number.NaN }, options);
    expect(bare.state.first).toEqual({});
  });
});

/** What was logged of two runs of the quickstart on a GPU, seed 0, 256 images per epoch. */
describe('recorded runs of the quickstart', () => {
  const epochsOf = (columns: Readonly<Record<string, readonly number[]>>) =>
    Array.from({ length: columns.reward!.length }, (_, epoch) => ({
      epoch,
      ...Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[epoch]!])),
    }));

  it('set it off where black takes over: GRPO-Guard, of whose free shapes 64 % are black after 25,600 images', () => {
    const problems = detectHacking(epochsOf(recorded.guard), options);
    expect(problems[0]).toMatch(/^epoch 58: .*near-black pixels take over/);
  });

  it('do not where no colour does: GRPO, 21 % after 153,600 images', () => {
    const epochs = epochsOf(recorded.grpo);
    expect(epochs).toHaveLength(600);
    expect(detectHacking(epochs.slice(0, 100), options)).toEqual([]);
    expect(detectHacking(epochs, options)).toEqual([]);
  });
});
