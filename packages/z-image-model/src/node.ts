/** Reading and writing files: models by path or hub id. */
import { type LoadZImageOptions, loadZImage } from './pipeline/load';
import { ZImage as Base } from './pipeline/z-image';

/** Z-Image: text to images, loaded from a folder or from the hub. */
export class ZImage extends Base {
  /**
   * Loads a model in diffusers' layout: a folder, or a hub id such as `Tongyi-MAI/Z-Image-Turbo`.
   *
   * @throws naming the file, key or option that is missing or does not fit
   */
  static async fromPretrained(pathOrId: string, options: LoadZImageOptions = {}): Promise<ZImage> {
    return new ZImage(await loadZImage(pathOrId, options));
  }
}
export {
  type LoadingProgress,
  type LoadZImageOptions,
  loadZImage,
  loadZImageTextEncoder,
} from './pipeline/load';
export { type ZImagePlaces, zImageRequiredFiles } from './pipeline/required-files';
export { type SavedZImage, saveZImage } from './pipeline/save';
