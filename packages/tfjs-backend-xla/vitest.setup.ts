/**
 * tfjs-core first, as in programs: whichever copy of its engine loads first makes the tensors, and the bundled
 * gradients carry one without the chained methods that some gradients call.
 */
import '@tensorflow/tfjs-core';

await import('../../tests/support/src/setup');
