/** A mistake that the user can correct: the command prints its message without a stack trace. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Turns failures of `action` into messages for the user. */
export async function reported<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
