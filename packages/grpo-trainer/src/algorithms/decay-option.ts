/** The option that names how a copy of the weights follows them. */
import { z } from 'zod';
import { decaySchedule } from '../losses/decay';

/** A decay by its name: see `decaySchedule`. */
export const decayName = (name: number | string, upstream: string) =>
  z
    .union([z.int(), z.string()])
    .default(name)
    .superRefine((value, context) => {
      try {
        decaySchedule(value);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
      }
    })
    .describe(`A preset, or startStep-start-slope-end (${upstream})`);
