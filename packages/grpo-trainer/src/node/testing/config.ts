/** For tests: a run of eight short epochs that saves after each. */
import type { AlgorithmName } from '../../algorithms/registry';
import type { GrpoConfigInput } from '../../config/schema';

export const runnerConfig = {
  epochs: 8,
  saveEvery: 1,
  keepCheckpoints: 3,
  sampling: { numSteps: 6, shift: 1, promptsPerEpoch: 1, samplesPerPrompt: 8, batchSize: 4 },
  training: { learningRate: 0.02 },
  grpo: { clipRange: 0.2, beta: 0.01 },
  divergence: { action: 'off' },
} satisfies GrpoConfigInput;

/** The same with an algorithm that keeps copies of the weights, which move by other amounts in every epoch. */
export const withCopies = (algorithm: AlgorithmName): GrpoConfigInput => ({
  ...runnerConfig,
  algorithm,
  sampling: { ...runnerConfig.sampling, batchSize: 8 },
  nft: { decayType: '0-0.5-0.05-0.9' },
  dgpo: { truncSteps: 4, betaDpo: 4, sampling: 'fast' },
  crd: { oldModelDecay: '0-0.25-0.05-0.9', samplingModelDecay: '2-0.5-0.05-0.9' },
});
