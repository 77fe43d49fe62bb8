/** What a run needs of Node: its folder of checkpoints, and signals that end it with one. */
export { CheckpointStateError, isDiskFull, type RunState, saveRun } from './checkpoint/checkpoint';
export { epochOf, listRuns } from './checkpoint/folder';
export { type LoadRunOptions, loadRun, loadWeights } from './checkpoint/load-run';
export { abortOnSignals } from './signals';
