import { describe, expect, it } from 'vitest';
import { PjrtError } from './errors';
import { Runs } from './runs';

/** Events only: what they end with is set by hand. */
function plugin(pause = () => {}) {
  const ends = new Map<number, string>(); // event → its error, '' where it went well
  const freed: number[] = [];
  const events = {
    isReady: (event: number) => ends.has(event),
    waitSync(event: number, operation: string) {
      freed.push(event);
      const detail = ends.get(event);
      if (detail) throw new PjrtError(operation, 'RESOURCE_EXHAUSTED', detail);
    },
  };
  const runs = new Runs(events, pause);
  return { ends, freed, runs };
}

describe('runs', () => {
  it('give the error of one that has failed already, and free their events', () => {
    const { ends, freed, runs } = plugin();
    ends.set(1, '').set(2, 'too large');
    expect(runs.add(1, 'first')).toBeUndefined();
    expect(runs.add(2, 'second')).toMatchObject({ detail: 'too large' });
    expect(freed).toEqual([1, 2]);
  });

  it('know whose error it is that comes up later, also in what inherited it', () => {
    const { ends, freed, runs } = plugin();
    for (const [event, name] of ['before', 'culprit', 'heir'].entries()) runs.add(event + 1, name);
    const later = new PjrtError('PjrtBuffer.toHost', 'INTERNAL', 'argument: too large');
    expect(runs.traced(later)).toBe(later);
    ends.set(2, 'too large').set(3, 'argument: too large'); // the first is still under way
    expect(runs.traced(later)).toMatchObject({
      operation: 'PjrtBuffer.toHost',
      code: 'RESOURCE_EXHAUSTED',
      detail: 'culprit failed: too large',
    });
    expect(freed).toEqual([2, 3]);
    ends.set(1, '');
    runs.drain();
    expect(freed).toEqual([2, 3, 1]);
  });

  it('wait for the end of the run whose error came up before it', () => {
    let waits = 0;
    const { ends, runs } = plugin(() => {
      if (++waits === 3) ends.set(1, 'too large');
    });
    runs.add(1, 'culprit');
    runs.add(2, 'heir');
    const later = new PjrtError('PjrtBuffer.toHost', 'INTERNAL', 'too large');
    expect(runs.traced(later)).toMatchObject({ detail: 'culprit failed: too large' });
    expect(waits).toBe(3);
  });

  it('know which program is under way', () => {
    const { ends, runs } = plugin();
    const [program, other] = [{}, {}];
    runs.add(1, 'step', program);
    runs.add(2, 'step', program);
    ends.set(1, '');
    expect([runs.has(program), runs.has(other)]).toEqual([true, false]);
    ends.set(2, 'too large');
    expect(runs.has(program)).toBe(false);
  });

  it('hold no event of one that has ended once another is added', () => {
    const { ends, freed, runs } = plugin();
    for (let event = 1; event <= 1000; event++) {
      runs.add(event, 'step');
      ends.set(event, event % 2 ? '' : `failure ${event}`);
    }
    expect(freed).toHaveLength(999);
    const early = new PjrtError('PjrtBuffer.toHost', 'INTERNAL', 'failure 2;');
    expect(runs.traced(early)).toBe(early); // long ago
  });
});
