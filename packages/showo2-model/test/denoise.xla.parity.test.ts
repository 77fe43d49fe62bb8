/** The suite of denoise.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./denoise.parity.test');
