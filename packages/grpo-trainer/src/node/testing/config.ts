/** For tests: a run of eight short epochs that saves after each. */
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
