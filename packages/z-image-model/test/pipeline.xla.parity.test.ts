/** The suite of pipeline.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./pipeline.parity.test');
