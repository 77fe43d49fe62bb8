/** A long work under way. */
export interface Progress {
  readonly phase: 'rollout' | 'reward' | 'update' | 'evaluation' | 'checkpoint';
  readonly epoch: number;
  readonly done: number;
  readonly total: number;
}
