/** What the trainer has for Node: checkpoints in a folder, and signals that end a run with one. */
export { checkpointFolder, isDiskFull } from './checkpoint-folder';
export { epochOf, listRuns } from './checkpoint-names';
export { loadRun, loadWeights, openCheckpoint } from './open-checkpoint';
export { abortOnSignals } from './signals';
