/** The suite of forward.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./forward.parity.test');
