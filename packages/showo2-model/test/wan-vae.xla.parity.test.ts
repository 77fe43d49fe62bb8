/** The suite of wan-vae.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./wan-vae.parity.test');
