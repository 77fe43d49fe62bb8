/** What must be shut down before the process ends. */
interface Closing {
  /** @internal */
  close(): void;
}

const open = new Set<Closing>();

/**
 * XLA's threads must not run while the C++ library's exit handlers take its data apart: that ends a program that
 * merely called process.exit(), or threw, with a segmentation fault.
 */
function closeAll(): void {
  for (const each of open) each.close();
  open.clear();
}

export function closeAtExit(each: Closing): void {
  if (open.size === 0) process.once('exit', closeAll);
  open.add(each);
}

export function closed(each: Closing): void {
  open.delete(each);
  if (open.size === 0) process.off('exit', closeAll);
}
