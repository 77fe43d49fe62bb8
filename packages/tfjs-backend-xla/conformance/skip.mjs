/** Specs of tfjs-core's suite that are not run against this backend: [text in the spec's full name, reason]. */
export const skip = [];
