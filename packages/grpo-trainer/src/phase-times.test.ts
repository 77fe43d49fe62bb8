import { expect, it } from 'vitest';
import { phaseTimer } from './phase-times';

/** A timer whose clock moves by hand, in seconds. */
function timed() {
  let now = 0;
  const timer = phaseTimer(() => 1000 * now);
  const wait = (seconds: number) => {
    now += seconds;
  };
  return { timer, wait };
}

it('gives every moment to one phase', () => {
  const { timer, wait } = timed();
  wait(1); // encoding prompts
  const first = timer.startRollout();
  wait(2);
  const second = timer.startRollout(); // dispatched while the first one runs
  wait(3);
  first();
  wait(1);
  second();
  wait(4); // the scorer alone
  timer.rewardsDone();
  wait(5);
  expect(timer.finish()).toEqual({ secondsRollout: 7, secondsReward: 4, secondsUpdate: 5, seconds: 16 });
});

it('counts waiting for rewards between batches as that', () => {
  const { timer, wait } = timed();
  const first = timer.startRollout();
  wait(2);
  first();
  wait(3); // scored before the next batch
  const second = timer.startRollout();
  wait(2);
  second();
  wait(3);
  timer.rewardsDone();
  expect(timer.finish()).toEqual({ secondsRollout: 4, secondsReward: 6, secondsUpdate: 0, seconds: 10 });
});
