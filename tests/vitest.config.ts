import { project } from '../vitest.base.ts';

/** `npm run artefacts` sets FLOW_GRPO_TESTS for the tests that need packages of other registries, and Python. */
const SUITES: Record<string, string> = { long: '*.long.test.ts', artefacts: 'artefacts/*.artefacts.test.ts' };

export default project('integration', {
  include: [SUITES[process.env.FLOW_GRPO_TESTS ?? ''] ?? '*.test.ts'],
});
