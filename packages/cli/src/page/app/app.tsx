/** The application: what it shows, from the top down. */
import { Sparkline, type Zoom } from '@flow-grpo/page-components/chart';
import { Panel } from '@flow-grpo/page-components/controls';
import { Header, SkipLink, Tile } from '@flow-grpo/page-components/frame';
import { holdsWords, Search } from '@flow-grpo/page-components/images';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { RunData } from '../run-data';
import { CurveControls, type CurveStyle, Curves, RewardChart } from './curves';
import { Gallery } from './gallery';
import { Hacking } from './hacking';
import { hacking, learning, remaining } from './insight';
import { Judge } from './judge';
import { colorOf, type ShownRun } from './lines';
import { PromptTables } from './prompt-table';
import type { Source } from './source';
import { Histograms, StepCharts, TimeOfEpoch } from './steps';

/** Smoothing at first: a trend shows, and a short run is not flattened. */
const STYLE: CurveStyle = { axis: 'epoch', smoothing: 0.9, log: false };

const PARTS: Readonly<Record<string, string>> = {
  overview: 'Overview',
  images: 'Images',
  prompts: 'Prompts',
  curves: 'Curves',
  watch: 'Watch',
  inside: 'Inside an epoch',
  time: 'Time',
  configuration: 'Configuration',
};
/** What there is to see of a run before its first epoch. */
const FIRST_PARTS = { overview: PARTS.overview!, configuration: PARTS.configuration! };

export function App({ source }: { source: Source }) {
  const [state, setState] = useState(source.current);
  useEffect(() => source.subscribe(() => setState(source.current())), [source]);
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const [chosen, setChosen] = useState(0);
  const [against, setAgainst] = useState<number | undefined>();
  const [style, setStyle] = useState(STYLE);
  const [range, setRange] = useState<Zoom['range']>();
  const [query, setQuery] = useState('');
  const [kind, setKind] = useState('');
  const zoom = useMemo<Zoom>(() => ({ range, set: setRange }), [range]);
  const { runs, status, phase, questions } = state;
  const run = runs[Math.min(chosen, runs.length - 1)];
  const shown: ShownRun[] = runs
    .map((each, place) => ({ run: each, place }))
    .filter(({ place }) => !hidden.has(place));
  const kinds = useMemo(() => [...new Set(run?.kinds ?? [])].filter((each) => each !== null).sort(), [run]);
  const matches = useMemo(() => matcher(run, query, kind), [run, query, kind]);
  const started = runs.some(({ metrics, evaluations }) => metrics.epoch!.length + evaluations.length > 0);
  useEffect(() => {
    document.title = run ? `${run.name} – Flow-GRPO` : 'Flow-GRPO run';
  }, [run?.name]);

  return (
    <>
      <SkipLink to="overview" />
      <Header
        title={runs.length > 0 ? runs.map(({ name }) => name).join(' · ') : 'Flow-GRPO run'}
        parts={started ? PARTS : FIRST_PARTS}
      >
        {phase !== 'frozen' && (
          <p id="status" class={`status ${phase}`} role="status">
            {status}
          </p>
        )}
      </Header>
      {run === undefined ? (
        <main>
          <p class="empty">{phase === 'frozen' ? 'There is no run on this page.' : 'Waiting for the run.'}</p>
        </main>
      ) : (
        <main>
          {questions && source.answer && <Judge data={questions} onAnswer={source.answer} />}
          {runs.length > 1 && (
            <RunChoice
              runs={runs}
              hidden={hidden}
              onHidden={setHidden}
              chosen={chosen}
              onChosen={setChosen}
            />
          )}
          <Panel id="overview" title="Overview">
            {run.metrics.epoch?.length === 0 && <p class="empty">No epoch has finished yet.</p>}
            <Tiles run={run} over={phase === 'ended' || phase === 'frozen'} />
            {started && (
              <>
                <CurveControls style={style} onStyle={setStyle} zoom={zoom} />
                <RewardChart runs={shown} style={style} zoom={zoom} />
              </>
            )}
          </Panel>
          {started && (
            <>
              <Panel id="images" title="Images" note="Held-out prompts, always from the same noise.">
                <search class="filter">
                  <Search value={query} onSearch={setQuery} />
                  {kinds.length > 0 && (
                    <label>
                      Kind{' '}
                      <select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
                        <option value="">all</option>
                        {kinds.map((each) => (
                          <option key={each} value={each}>
                            {each.replaceAll('_', ' ')}
                          </option>
                        ))}
                      </select>
                    </label>
                  )}
                </search>
                {runs.length > 1 && (
                  <label class="select against">
                    Compare with{' '}
                    <select
                      value={against ?? ''}
                      onChange={({ currentTarget: { value } }) =>
                        setAgainst(value === '' ? undefined : Number(value))
                      }
                    >
                      <option value="">this run's first evaluation</option>
                      {runs.map((each, place) =>
                        each === run ? null : (
                          <option key={place} value={place}>
                            {each.name}
                          </option>
                        ),
                      )}
                    </select>
                  </label>
                )}
                <Gallery
                  key={chosen}
                  run={run}
                  against={against === undefined || against === chosen ? undefined : runs[against]}
                  matches={matches}
                />
              </Panel>
              <Panel
                id="prompts"
                title="Prompts"
                note="Mean reward in the first and in the last evaluation. The search above filters these tables."
              >
                <PromptTables key={chosen} run={run} matches={matches} />
              </Panel>
              <Panel id="curves" title="Curves">
                <Curves runs={shown} style={style} onStyle={setStyle} zoom={zoom} />
              </Panel>
              <Panel
                id="watch"
                title="Watch on reward hacking"
                note="A reward is only a proxy for what you want: these should not drift while it rises."
              >
                <Hacking runs={shown} style={style} zoom={zoom} />
              </Panel>
              <Panel id="inside" title="Inside an epoch">
                <Histograms key={chosen} run={run} />
                <StepCharts run={run} style={style} zoom={zoom} />
              </Panel>
              <Panel id="time" title="Time">
                <TimeOfEpoch run={run} style={style} zoom={zoom} />
              </Panel>
            </>
          )}
          <Panel id="configuration" title="Configuration">
            {run.config ? (
              <details>
                <summary>Show</summary>
                <pre>{run.config}</pre>
              </details>
            ) : (
              <p class="empty">This run has no config.json.</p>
            )}
          </Panel>
        </main>
      )}
      <Keys />
    </>
  );
}

interface RunChoiceProps {
  readonly runs: readonly RunData[];
  readonly hidden: ReadonlySet<number>;
  readonly onHidden: (hidden: ReadonlySet<number>) => void;
  readonly chosen: number;
  readonly onChosen: (place: number) => void;
}

function RunChoice({ runs, hidden, onHidden, chosen, onChosen }: RunChoiceProps) {
  const toggle = (place: number) => {
    const next = new Set(hidden);
    if (!next.delete(place)) next.add(place);
    onHidden(next);
  };
  return (
    <div class="toolbar runs">
      <fieldset>
        <legend>Curves</legend>
        {runs.map(({ name }, place) => (
          <label key={place} class="check">
            <input type="checkbox" checked={!hidden.has(place)} onChange={() => toggle(place)} />
            <i style={{ background: `var(${colorOf(place)})` }} /> {name}
          </label>
        ))}
      </fieldset>
      <label class="select">
        Details for{' '}
        <select value={chosen} onChange={(event) => onChosen(Number(event.currentTarget.value))}>
          {runs.map(({ name }, place) => (
            <option key={place} value={place}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}

/** The three questions of whoever opens the page. */
function Tiles({ run, over }: { run: RunData; over: boolean }) {
  const { reward = [] } = run.metrics;
  return (
    <div class="tiles">
      <Tile question="Is it learning?" {...learning(run)}>
        {reward.length > 1 && <Sparkline values={reward} label="The reward over epochs" />}
      </Tile>
      <Tile question="Is it being hacked?" {...hacking(run)} />
      <Tile question="How much longer?" {...remaining(run, over)} />
    </div>
  );
}

function Keys() {
  return (
    <footer>
      <details>
        <summary>Keyboard shortcuts</summary>
        <dl class="keys">
          <dt>/</dt>
          <dd>search prompts</dd>
          <dt>[ and ]</dt>
          <dd>the evaluation before and after</dd>
          <dt>b</dt>
          <dd>before</dd>
          <dt>f</dt>
          <dd>flicker between before and after</dd>
          <dt>← → + − 0</dt>
          <dd>on a chart: read values, zoom, show everything</dd>
        </dl>
      </details>
    </footer>
  );
}

/** Prompts that hold every word of a search, and are of a kind. */
export function matcher(run: RunData | undefined, query: string, kind: string): (prompt: number) => boolean {
  return (prompt) =>
    holdsWords(run?.prompts[prompt] ?? '', query) && (kind === '' || run?.kinds[prompt] === kind);
}
