import type { Policy } from '@flow-grpo/grpo-trainer';
import type { ZImagePolicy } from '@flow-grpo/z-image-model/policy';
import { expectTypeOf, it } from 'vitest';

/** z-image-model does not know the trainer: this holds its policy to the trainer's interface. */
it("Z-Image's policy is one of the trainer's", () => {
  type Condition = ReturnType<ZImagePolicy['encodePrompts']>;
  type Prepared = ReturnType<ZImagePolicy['prepare']>;
  expectTypeOf<ZImagePolicy>().toExtend<Policy<Condition, Prepared>>();
});
