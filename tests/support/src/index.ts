/** What the tests of every package share: the parity fixtures and numeric comparison. Not published. */
export * from './close';
export * from './fixtures';
export * from './hub';
export * from './pages';
export * from './series';
