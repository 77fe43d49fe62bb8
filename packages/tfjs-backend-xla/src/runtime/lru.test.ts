import { describe, expect, it } from 'vitest';
import { Lru } from './lru';

describe('what was used least recently', () => {
  const make = (count: number, bytes: number) => {
    const gone: string[] = [];
    const busy = new Set<string>();
    const lru = new Lru<string, string>({ count, bytes }, (value) => {
      if (busy.has(value)) return false;
      gone.push(value);
      return true;
    });
    return { lru, gone, busy };
  };

  it('goes where there are too many, a quarter at a time', () => {
    const { lru, gone } = make(8, 100);
    for (const key of 'abcdefgh') lru.add(key, key, 1);
    lru.get('a');
    expect(gone).toEqual([]);
    lru.add('i', 'i', 1);
    expect(gone).toEqual(['b', 'c', 'd']);
    expect([lru.get('a'), lru.get('b'), lru.size, lru.bytes]).toEqual(['a', undefined, 6, 6]);
  });

  it('goes where there are too many bytes; a value larger than all room stays until the next', () => {
    const { lru, gone } = make(8, 100);
    lru.add('a', 'a', 60);
    lru.add('b', 'b', 50);
    expect([gone, lru.bytes]).toEqual([['a'], 50]);
    lru.add('c', 'c', 500);
    expect([gone, lru.bytes]).toEqual([['a', 'b'], 500]);
    lru.add('d', 'd', 1);
    expect([gone, lru.bytes]).toEqual([['a', 'b', 'c'], 1]);
  });

  it('stays while it is in use, and goes later', () => {
    const { lru, gone, busy } = make(2, 100);
    busy.add('a');
    for (const key of 'abc') lru.add(key, key, 1);
    expect(gone).toEqual(['b']);
    busy.clear();
    lru.clear();
    expect([gone, lru.size, lru.bytes]).toEqual([['b', 'a', 'c'], 0, 0]);
  });

  it('is freed when another takes its key', () => {
    const { lru, gone } = make(2, 100);
    lru.add('a', 'first', 10);
    lru.add('a', 'second', 5);
    expect([gone, lru.get('a'), lru.size, lru.bytes]).toEqual([['first'], 'second', 1, 5]);
  });
});
