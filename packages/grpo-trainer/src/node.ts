/** What a run needs from Node: its folder of checkpoints, and signals that save one and end the run. */
export { changesBetween } from './checkpoint/compare';
export { checkSameRun } from './checkpoint/restore';
export { CheckpointStateError, type SetupFingerprint } from './checkpoint/store';
export { isAbort } from './interruption';
export { checkpointFolder, isDiskFull } from './node/checkpoint-folder';
export { checkpointEpoch, listCheckpoints } from './node/checkpoint-names';
export { acquireLease, type HeldLease, type LeaseOptions } from './node/lease';
export { loadWeights, openRunCheckpoint } from './node/open-checkpoint';
export { abortOnSignals } from './node/signals';
