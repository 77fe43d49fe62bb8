import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { progressLine } from './progress-line';

describe('progressLine', () => {
  beforeEach(() => vi.stubEnv('TERM', 'xterm'));
  afterEach(() => vi.unstubAllEnvs());

  const on = (isTTY: boolean) => {
    let text = '';
    const stream = new PassThrough();
    stream.on('data', (chunk) => {
      text += chunk;
    });
    let now = 0;
    const line = progressLine(
      Object.assign(stream, { isTTY, columns: isTTY ? 20 : undefined }) as never,
      () => now,
    );
    return { line, text: () => text, after: (seconds: number) => (now += 1000 * seconds) };
  };

  it('is rewritten in place on a terminal, no longer than a row', () => {
    const { line, text } = on(true);
    line.show('rollout 1/2');
    line.show('x'.repeat(50));
    line.note('saved');
    line.end();
    expect(text()).toBe(`\r\x1b[2Krollout 1/2\r\x1b[2K${'x'.repeat(19)}\r\x1b[2Ksaved\n`);
  });

  it.each([true, false])(
    'shows nothing that moves the cursor or sets a title (on a terminal: %s)',
    (isTTY) => {
      const { line, text, after } = on(isTTY);
      for (const show of [line.show, line.log, line.note]) {
        show('a\x1b]0;title\x07b\x1b[31mc\u202ed\re');
        after(60);
      }
      line.end();
      const shown = text().replaceAll('\r\x1b[2K', '');
      expect(shown.replaceAll('\n', '')).toBe('abcde'.repeat(3));
    },
  );

  it.each([
    [0, '────────────────────   0 % x'],
    [0.35, '━━━━━━━─────────────  35 % x'],
    [0.999, '━━━━━━━━━━━━━━━━━━━━  99 % x'],
    [2, '━━━━━━━━━━━━━━━━━━━━ 100 % x'],
  ])('has a bar on a terminal: %d', (share, shown) => {
    let text = '';
    const line = progressLine({ isTTY: true, columns: 80, write: (more: string) => (text += more) } as never);
    line.show('x', share);
    expect(text).toBe(`\r\x1b[2K${shown}`);
  });

  it.each([
    [undefined, 79],
    [0, 79],
    [60, 59],
    [59, 58],
    [20, 19],
  ])('keeps to one row of a terminal that says it has %s columns, with its text', (columns, length) => {
    let text = '';
    const line = progressLine({ isTTY: true, columns, write: (more: string) => (text += more) } as never);
    line.show('x'.repeat(100), 0.5);
    const [, row] = text.split('\x1b[2K');
    expect(row).toHaveLength(length);
    expect(row!.includes('━')).toBe(columns === undefined || columns === 0 || columns === 60);
  });

  it('rewrites nothing on a terminal that cannot', () => {
    vi.stubEnv('TERM', 'dumb');
    const { line, text } = on(true);
    line.show('rollout 1/2', 0.5);
    line.note('saved');
    expect(text()).toBe('rollout 1/2\nsaved\n');
  });

  it('prints every message on a terminal, and of many alike some in a log file, with the last', () => {
    const [terminal, file] = [on(true), on(false)];
    for (const { line, after } of [terminal, file]) {
      for (let epoch = 1; epoch <= 100; epoch++) {
        line.show(`rollout of ${epoch}`, epoch / 100);
        line.log(`epoch ${epoch}`);
        after(1);
      }
      line.note('finished');
      line.log('after');
      line.end();
    }
    expect(terminal.text().match(/epoch \d+\n/g)).toHaveLength(100);
    const lines = file.text().trim().split('\n');
    expect(lines.length).toBeLessThan(15);
    expect(lines[0]).toBe('rollout of 1');
    expect(lines.slice(-3)).toEqual(['epoch 100', 'finished', 'after']);
  });

  it('is printed now and then elsewhere', () => {
    const { line, text } = on(false);
    for (let i = 1; i <= 100; i++) line.show(`rollout ${i}/100`);
    line.note('saved');
    expect(text()).toBe('rollout 1/100\nsaved\n');
  });
});
