import { project } from '../vitest.base.ts';

export default project('integration', {
  include: [process.env.FLOW_GRPO_TESTS === 'long' ? '*.long.test.ts' : '*.test.ts'],
});
