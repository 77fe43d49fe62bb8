/** The suite of context.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./context.parity.test');
