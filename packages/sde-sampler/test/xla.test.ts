import { everySuiteOn } from './support/backends';

await everySuiteOn('xla');
