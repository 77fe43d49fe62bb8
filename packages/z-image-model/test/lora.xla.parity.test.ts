/** The suite of lora.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./lora.parity.test');
