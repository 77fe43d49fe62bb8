import type { Policy } from '@flow-grpo/grpo-trainer';
import type { Showo2Policy } from '@flow-grpo/showo2-model/policy';
import { expectTypeOf, it } from 'vitest';

/** showo2-model does not know the trainer: this holds its policy to the trainer's interface. */
it("Show-o2's policy is one of the trainer's", () => {
  type Condition = ReturnType<Showo2Policy['encodePrompts']>;
  type Prepared = ReturnType<Showo2Policy['prepare']>;
  expectTypeOf<Showo2Policy>().toExtend<Policy<Condition, Prepared>>();
});
