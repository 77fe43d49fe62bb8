/** Checks a run for the ways in which reinforcement learning of flow models is known to fail. */

export interface DivergenceOptions {
  /** Of the Gaussian KL of a step, per latent dimension. */
  readonly maxStepKl: number;
  /** Of mean (v − v_before)². */
  readonly maxVelocityChange: number;
  /** Of mean (v − v_reference)². */
  readonly maxVelocityKl: number;
  readonly gradNormFactor: number;
  readonly rewardDrop: number;
}

/** What the check remembers from epoch to epoch; part of a checkpoint. */
export interface DivergenceState {
  /** Epochs of late in which the policy moved too far, by what moved. */
  readonly farEpochs: Readonly<Partial<Record<Move, readonly number[]>>>;
  readonly gradNorms: readonly number[];
  readonly rewards: readonly number[];
  readonly bestReward: number | null;
  readonly bestEpoch: number;
  readonly spread: number;
}

export interface DivergenceInput {
  readonly epoch: number;
  /** Of the last update; undefined without any. */
  readonly learningRate: number | undefined;
  /** One number per update, like what follows; empty in an epoch without updates. */
  readonly loss: readonly number[];
  readonly gradNorm: readonly number[];
  /** Numbers in a latent. */
  readonly latentSize: number;
  /** Of the epoch's updates, per latent dimension; what is undefined is not looked at. */
  readonly moves: Readonly<Partial<Record<Move, number | undefined>>>;
  readonly reward: number;
  /** Standard deviation of the epoch's rewards. */
  readonly rewardStd: number;
}

export const initialDivergenceState: DivergenceState = {
  farEpochs: {},
  gradNorms: [],
  rewards: [],
  bestReward: null,
  bestEpoch: 0,
  spread: 0,
};

/**
 * How far a policy may move, per latent dimension. What makes two policies differ is the sum over the latent (for a step,
 * the KL in nats): small latents may move further per dimension, until that sum is as large as `leastSum`.
 *
 * At the quickstart's working rate an epoch moves a step by 1e-6 and the velocity by 1.5e-4, at ten times that rate by 1e-4
 * and 1.4e-2 (its head alone trained; with all weights NFT's preset moves it by 4e-4). A velocity KL of 0.05 belongs to a
 * good run there, 0.4 to one that falls, 3 to a collapse.
 *
 * Good runs of AWM and CRD have single epochs beyond the limits, up to six times as far, whose move the next epochs take back.
 */
const MOVES = {
  stepKl: { option: 'maxStepKl', leastSum: 0.05, words: "one epoch moved a step's distribution by a KL" },
  velocityChange: {
    option: 'maxVelocityChange',
    leastSum: 0.2,
    words: 'one epoch moved the velocity by a mean square',
  },
  velocityKl: {
    option: 'maxVelocityKl',
    leastSum: 10,
    words: 'the velocity has moved from the start by a mean square',
  },
} as const;

/** So often within so many epochs a policy must be beyond a limit, or once at so many times the limit. */
const FAR = { times: 2, window: 5, atOnce: 10 };

type Move = keyof typeof MOVES;

const NORM_MEMORY = 50;
const NORM_MINIMUM = 10;
const REWARD_WINDOW = 5;

export interface Verdict {
  readonly state: DivergenceState;
  /** What is wrong, in words. */
  readonly problem?: string;
  /** Epochs after which all was well, where that is earlier than before this one. */
  readonly goodEpochs?: number;
}

/**
 * The state after an epoch, and what is wrong, if something is.
 *
 * Checked: losses and gradient norms that are not finite; a gradient norm far above the median of the last 50;
 * a policy that moved too far twice within five epochs, or ten times too far in one (the Gaussian KL of its steps, the velocity's
 * change), or that was so often too far from where it started (the KL on the velocity); a 5-epoch reward that fell from its best by
 * more than `rewardDrop` standard deviations of the rewards then.
 */
export function checkDivergence(
  state: DivergenceState,
  input: DivergenceInput,
  options: DivergenceOptions,
): Verdict {
  const now = input.learningRate?.toPrecision(2);
  const rate = now === undefined ? 'without an update' : `at learning rate ${now}`;
  const advice = `lower training.learningRate${now === undefined ? '' : ` (now ${now})`}, or raise the weight of the KL`;
  const at = `epoch ${input.epoch}`;
  const bad = [...input.loss, ...input.gradNorm].find((value) => !Number.isFinite(value));
  if (bad !== undefined) {
    return { state, problem: `${at}: the loss or its gradient is ${bad} ${rate}; ${advice}` };
  }
  const { farEpochs, found } = lookForMoves(state, input, options);
  if (found) {
    const { words, moved, limit, option, before } = found;
    const earlier = before.length > 0 ? `, as in epoch ${before.join(', ')}` : '';
    return {
      state: { ...state, farEpochs },
      ...(before.length > 0 && { goodEpochs: before[0]! }),
      problem: `${at}: ${words} of ${moved.toPrecision(3)} per latent dimension (limit ${limit.toPrecision(3)}, divergence.${option})${earlier} ${rate}; ${advice}`,
    };
  }
  const known = [...state.gradNorms].sort((a, b) => a - b);
  const median = known[Math.floor(known.length / 2)] ?? 0;
  const norm = Math.max(0, ...input.gradNorm);
  if (known.length >= NORM_MINIMUM && median > 0 && norm > options.gradNormFactor * median) {
    return {
      state,
      problem: `${at}: the gradient norm is ${norm.toPrecision(3)}, ${Math.round(norm / median)} times its median ${median.toPrecision(3)} ${rate}; ${advice}`,
    };
  }
  const rewards = [...state.rewards, input.reward].slice(-REWARD_WINDOW);
  const smoothed = rewards.reduce((sum, value) => sum + value, 0) / rewards.length;
  const full = rewards.length === REWARD_WINDOW;
  const improved = full && (state.bestReward === null || smoothed > state.bestReward);
  const next: DivergenceState = {
    farEpochs,
    gradNorms: [...state.gradNorms, ...input.gradNorm].slice(-NORM_MEMORY),
    rewards,
    bestReward: improved ? smoothed : state.bestReward,
    bestEpoch: improved ? input.epoch : state.bestEpoch,
    // A policy near its optimum has little spread left; the largest seen keeps the limit meaningful.
    spread: Math.max(state.spread, input.rewardStd),
  };
  if (full && next.bestReward !== null && next.bestReward - smoothed > options.rewardDrop * next.spread) {
    return {
      state: next,
      // Where the best five began: within them the fall may have begun already.
      goodEpochs: Math.max(0, next.bestEpoch + 1 - REWARD_WINDOW),
      problem: `${at}: the reward collapsed from ${next.bestReward.toPrecision(4)} (epoch ${next.bestEpoch}) to ${smoothed.toPrecision(4)} ${rate}; ${advice}`,
    };
  }
  return { state: next };
}

/** The epochs of late in which the policy moved too far, this one included, and the first move that is a problem. */
function lookForMoves({ farEpochs }: DivergenceState, input: DivergenceInput, options: DivergenceOptions) {
  const looked = (Object.keys(MOVES) as Move[]).map((name) => {
    const { option, leastSum, words } = MOVES[name];
    const moved = input.moves[name] ?? 0;
    const limit = Math.max(options[option], leastSum / input.latentSize);
    const before = (farEpochs[name] ?? []).filter((epoch) => epoch > input.epoch - FAR.window);
    const isFar = !(moved <= limit); // NaN is
    const epochs = isFar ? [...before, input.epoch] : before;
    const isProblem = isFar && (epochs.length >= FAR.times || !(moved <= FAR.atOnce * limit));
    return { name, epochs, isProblem, words, moved, limit, option, before };
  });
  return {
    farEpochs: Object.fromEntries(looked.map(({ name, epochs }) => [name, epochs])),
    found: looked.find(({ isProblem }) => isProblem),
  };
}
