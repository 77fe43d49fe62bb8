import type { Dtype } from '../bytes';
import type { PickleGlobal } from '../pickle/index';
import type { StorageType } from './storage';

/** A device, layout, class or the like: said by its text and never called. */
export class TorchConstant implements PickleGlobal {
  readonly call: PickleGlobal['call'] = undefined;
  constructor(readonly text: string) {}
}

/** A dtype as a value. */
export class TorchDtype extends TorchConstant {
  constructor(
    text: string,
    /** Absent for types that are not read. */
    readonly dtype: Dtype | undefined,
  ) {
    super(text);
  }
}

/** A class whose instances are plain tensors. */
export class TorchTensorClass extends TorchConstant {
  override readonly call: PickleGlobal['call'];
  constructor(text: string, call?: PickleGlobal['call']) {
    super(text);
    this.call = call;
  }
}

/** A storage class, named in persistent ids. */
export class TorchStorageClass implements PickleGlobal {
  readonly call = undefined;
  constructor(readonly type: StorageType) {}
}
