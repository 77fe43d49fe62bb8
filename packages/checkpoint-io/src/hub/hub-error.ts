/** A hub request that failed, or files that are neither in the cache nor allowed to be fetched. */
export class HubError extends Error {
  override readonly name = 'HubError';
  /** HTTP status, where the hub answered. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
