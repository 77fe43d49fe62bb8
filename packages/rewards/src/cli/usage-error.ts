/** A mistake that the user can correct: the command prints its message without a stack trace. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The user ended the command. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/** Turns failures of `action` into messages for the user. */
export async function reported<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof InterruptedError) throw error;
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
