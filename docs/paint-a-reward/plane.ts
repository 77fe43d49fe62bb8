/** The plane is [−EXTENT, EXTENT] in both directions. */
export const EXTENT = 3;
