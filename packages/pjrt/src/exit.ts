import { isMainThread } from 'node:worker_threads';

/** What must be shut down before the process ends. */
interface Closing {
  /** @internal Returns whether a thread is at work that cannot be stopped. */
  close(status: number): boolean;
  /** @internal */
  exitNow(code: number): void;
}

const open = new Set<Closing>();

/**
 * XLA's threads must not run while the C++ library's exit handlers take its data apart: that ends a program that
 * merely called process.exit(), or threw, with a segmentation fault.
 */
function closeAll(status: number): void {
  const closing = [...open];
  open.clear();
  const busy = closing.filter((each) => each.close(status));
  if (busy.length > 0 && isMainThread) leaveAtOnce(busy[0]!);
}

/**
 * A compilation cannot be stopped, and Node waits for its thread: up to minutes after process.exit(). By the time that
 * Node calls `reallyExit` all exit listeners have run and output is written.
 */
function leaveAtOnce(by: Closing): void {
  const exiting = process as unknown as { reallyExit(code?: number): never };
  const { reallyExit } = exiting;
  exiting.reallyExit = (code?: number): never => {
    by.exitNow(code ?? 0);
    return reallyExit.call(process, code);
  };
}

export function closeAtExit(each: Closing): void {
  if (open.size === 0) process.once('exit', closeAll);
  open.add(each);
}

export function closed(each: Closing): void {
  if (!open.delete(each)) return;
  if (open.size === 0) process.off('exit', closeAll);
}
