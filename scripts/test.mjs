/** `npm test [-- FILTER…]`: every test of the repository; the last line counts them. */
import { vitest } from './vitest.mjs';

const { passed, failed, skipped } = vitest(process.argv.slice(2));
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed ? 1 : 0;
