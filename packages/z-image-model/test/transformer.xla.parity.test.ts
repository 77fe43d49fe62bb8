/** The suite of transformer.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./transformer.parity.test');
