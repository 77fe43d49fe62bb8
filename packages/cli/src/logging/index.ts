/** A run's logs: lines of JSON, TensorBoard events, and a progress line. */
export { readJsonLines } from './json-lines';
export { type EvaluationRecord, type HistogramRecord, type RunLog, runLog } from './run-log';
export { type EventWriter, eventWriter } from './tensorboard';
export type { TrainingProgress } from './training-progress';
