/** One image on the host: `height * width * 3` bytes, rows from the top, red green blue. */
export interface RgbImage {
  data: Uint8Array;
  width: number;
  height: number;
}
