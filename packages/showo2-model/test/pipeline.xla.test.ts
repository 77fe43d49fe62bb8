/** The suite of pipeline.test.ts, on XLA, where layers are stacked. */
import { useXla } from './xla';

await useXla();
await import('./pipeline.test');
