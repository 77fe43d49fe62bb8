import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { browserRun } from './support/browser-run';

/** Bundled for the browser by browser.test.ts, which calls this. */
Object.assign(globalThis, {
  runSampler: async () => {
    await tf.setBackend('cpu');
    return browserRun();
  },
});
