/** What a run needs of Node: its folder of checkpoints, and signals that end it with one. */

export { CheckpointStateError } from './checkpoint/store';
export { checkpointFolder, isDiskFull } from './node/checkpoint-folder';
export { epochOf, listRuns } from './node/checkpoint-names';
export { loadRun, loadWeights, openCheckpoint } from './node/open-checkpoint';
export { abortOnSignals } from './node/signals';
