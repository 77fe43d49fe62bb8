/** A wheel by its exact file: what is downloaded must have this sha256. */
export interface PinnedWheel {
  name: string;
  version: string;
  sha256: string;
}
