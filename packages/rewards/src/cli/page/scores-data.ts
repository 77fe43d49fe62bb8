/** What the page of scores knows: plain JSON. */

export interface ScoredImage {
  readonly file: string;
  /** Empty where nothing was asked for. */
  readonly prompt: string;
  /** What sort of prompt it is, where the data set says. */
  readonly kind: string | null;
  /** A small picture, as a data URL. */
  readonly thumbnail: string;
}

export interface ScoresData {
  /** What scored, in words. */
  readonly title: string;
  /** From the highest score down. */
  readonly images: readonly ScoredImage[];
  /** The score, then every detail: one value per image, null where there is none. */
  readonly columns: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
}

/** The page gets its data by this name, from a script that stands before its own. */
export const SCORES = 'flowGrpoScores';

export interface ScoresWindow {
  [SCORES]?: ScoresData;
}
