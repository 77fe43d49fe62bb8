/** The suite of autoencoder.parity.test.ts, on XLA. */
import { useXla } from './xla';

await useXla();
await import('./autoencoder.parity.test');
