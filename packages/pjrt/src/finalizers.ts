/** Frees what was collected without being disposed, and says so once: a leak is a bug even when it is mended. */
export class Finalizers {
  private warned = false;
  private readonly registry: FinalizationRegistry<number>;

  constructor(release: (handle: number) => void) {
    this.registry = new FinalizationRegistry((handle) => {
      if (!this.warned) {
        process.emitWarning(
          'A PjrtBuffer was garbage-collected without dispose(); its memory has been freed late. Later ones are freed without a warning.',
          { type: 'PjrtLeakWarning' },
        );
      }
      this.warned = true;
      release(handle);
    });
  }

  register(object: object, handle: number): void {
    this.registry.register(object, handle, object);
  }

  unregister(object: object): void {
    this.registry.unregister(object);
  }
}
