/** Ranged bytes and the tensors that lie in them: the part both checkpoint formats share. */
export * from './dtypes';
export * from './half';
export * from './source';
export * from './stored-tensor';
export * from './widen';
