import { describe, expect, it } from 'vitest';
import { parseGenevalMetadata } from './metadata';

const cow = { class: 'cow', count: 1 };
const base = {
  tag: 'position',
  prompt: 'a photo of a cow',
  include: [cow, { ...cow, position: ['above', 0] }],
};

describe('parseGenevalMetadata', () => {
  it('returns valid metadata as it is, unknown keys included', () => {
    const value = { ...base, exclude: [{ class: 'cow', count: 3 }], source: 'here' };
    expect(parseGenevalMetadata(value)).toBe(value);
  });

  it('takes null for absent, wherever a table writes it', () => {
    const nulls = { color: null, position: null };
    const value = { ...base, include: [{ ...cow, ...nulls }, base.include[1]], exclude: null, note: null };
    expect(parseGenevalMetadata(value)).toEqual(base);
    const exclude = [{ class: 'cow', count: 3, color: null }];
    expect(parseGenevalMetadata({ ...base, exclude }).exclude).toEqual([{ class: 'cow', count: 3 }]);
    expect(() => parseGenevalMetadata({ ...base, tag: null })).toThrow('"tag" must be a string');
    expect(() => parseGenevalMetadata({ ...base, include: [{ class: 'cow', count: null }] })).toThrow(
      '"count"',
    );
  });

  it.each([
    [null, 'expected an object'],
    [{ ...base, tag: 1 }, '"tag" must be a string'],
    [{ ...base, prompt: undefined }, '"prompt" must be a string'],
    [{ ...base, include: [] }, '"include" must be a list with at least one'],
    [{ ...base, include: [{ count: 1 }] }, '"include[0]" needs a string "class"'],
    [{ ...base, include: [{ class: 'cow', count: 0 }] }, 'needs a "count" of at least 1, not 0'],
    [{ ...base, include: [{ ...cow, color: 3 }] }, '"include[0].color" must be a string'],
    [{ ...base, include: [cow, { ...cow, position: ['near', 0] }] }, '"near" is none of left of'],
    [{ ...base, include: [cow, { ...cow, position: ['above', 1] }] }, '1 is not the index of another'],
    [{ ...base, include: [{ ...cow, position: 'above' }] }, 'must be [relation, index]'],
    [{ ...base, exclude: cow }, '"exclude" must be a list'],
    [{ ...base, exclude: [{ class: 'cow' }] }, '"exclude[0]" needs a "count"'],
  ])('refuses %j', (value, message) => {
    expect(() => parseGenevalMetadata(value, 'line 7')).toThrow(message);
    expect(() => parseGenevalMetadata(value, 'line 7')).toThrow('line 7');
  });
});
