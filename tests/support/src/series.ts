const long = process.env.FLOW_GRPO_TESTS === 'long';

/**
 * The first of a series of seeds or the like in `npm test`, the others in `npm run test:long`. A file that has one is named
 * by a `*.long.test.ts` beside it, unless it is a suite of XLA (`*.xla.test.ts`), which runs there anyway.
 */
export const series = <T>(all: readonly T[]): readonly T[] => (long ? all.slice(1) : all.slice(0, 1));

/** How many rounds of a soak: `some` in `npm test`, `many` in `npm run test:long`. */
export const rounds = (some: number, many: number): number => (long ? many : some);

/** What `npm run test:long` runs besides: nothing in `npm test`. */
export const longOnly = <T>(all: readonly T[]): readonly T[] => (long ? all : []);
