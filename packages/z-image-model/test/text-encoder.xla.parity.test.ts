/** The suite of text-encoder.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./text-encoder.parity.test');
