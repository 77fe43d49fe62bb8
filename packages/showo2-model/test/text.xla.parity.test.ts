/** The suite of text.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./text.parity.test');
