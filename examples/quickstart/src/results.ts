/** What a run writes, for programs that read it. */
export type { CurvePoint } from './evaluation';
