/** What the text of a run's config.json says, for Node and for the page; of a foreign run's file it says nothing. */

export function plannedEpochs(config: string | null): number | null {
  const { epochs } = parsed(config);
  return typeof epochs === 'number' ? epochs : null;
}

/** How the watch on reward hacking looks at a run whose configuration does not say. */
const WATCH = { window: 10, tolerance: 1 };

/** How the watch on reward hacking looks at a run. */
export function watchOptions(config: string | null): typeof WATCH {
  const given = (parsed(config).hacking ?? {}) as Readonly<Record<string, unknown>>;
  const numberOf = (name: keyof typeof WATCH) => {
    const value = given[name];
    return typeof value === 'number' && value > 0 ? value : WATCH[name];
  };
  return { window: numberOf('window'), tolerance: numberOf('tolerance') };
}

/** Whether a run has enough epochs for the watch to compare its last ones with its first ones. */
export const isCompared = (epochs: number, { window }: { readonly window: number }): boolean =>
  epochs >= 2 * window;

function parsed(config: string | null): Record<string, unknown> {
  try {
    return (JSON.parse(config ?? '{}') ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}
