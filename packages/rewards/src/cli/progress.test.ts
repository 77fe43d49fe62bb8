import { expect, it } from 'vitest';
import { progressLine } from './progress';

/** A stream that keeps what it is sent, and a clock to turn by hand. */
function stage(isTTY: boolean, columns = 80) {
  const sent: string[] = [];
  let time = 0;
  const stream = {
    isTTY,
    columns,
    write: (text: string) => sent.push(text),
  } as unknown as NodeJS.WriteStream;
  return {
    sent,
    line: progressLine(1000, stream, () => time),
    after: (milliseconds: number) => {
      time += milliseconds;
    },
  };
}

it('rewrites one line on a terminal, with the pace and the time left, and clears it', () => {
  const { sent, line, after } = stage(true);
  line.show(0);
  after(5000);
  line.show(40);
  after(5000);
  line.show(500);
  line.end();
  expect(sent).toEqual([
    '\r\x1b[2K0/1000 images  0 %',
    '\r\x1b[2K40/1000 images  4 %  8.00 images/s  2 min 0 s left',
    '\r\x1b[2K500/1000 images  50 %  50.0 images/s  10 s left',
    '\r\x1b[2K',
  ]);
});

it('does not wrap on a narrow terminal, and counts hours', () => {
  const { sent, line, after } = stage(true, 60);
  after(3_600_000);
  line.show(200);
  expect(sent).toEqual(['\r\x1b[2K200/1000 images  20 %  0.0556 images/s  4 h 0 min left']);
  const narrow = stage(true, 15);
  narrow.line.show(40);
  expect(narrow.sent).toEqual(['\r\x1b[2K40/1000 images']);
});

it('prints a line now and then where nothing can be rewritten', () => {
  const { sent, line, after } = stage(false);
  for (let done = 0; done < 100; done += 10) {
    line.show(done);
    after(2500);
  }
  line.end();
  expect(sent).toEqual([
    '40/1000 images  4 %  4.00 images/s  4 min 0 s left\n',
    '80/1000 images  8 %  4.00 images/s  3 min 50 s left\n',
  ]);
});
