import { expect, it } from 'vitest';
import { threefry2x32 } from './threefry';

it("gives the known answers of the authors' Random123 for 20 rounds", () => {
  const all = 0xffffffff;
  expect(threefry2x32(0, 0, 0, 0)).toEqual([0x6b200159, 0x99ba4efe]);
  expect(threefry2x32(all, all, all, all)).toEqual([0x1cb996fc, 0xbb002be7]);
  expect(threefry2x32(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3)).toEqual([0xc4923a9c, 0x483df7a0]);
});
