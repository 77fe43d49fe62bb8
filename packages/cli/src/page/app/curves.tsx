/** Curves over epochs, of one run or of several over each other. */
import { Chart, type Zoom } from '@flow-grpo/page-components/chart';
import { Segmented } from '@flow-grpo/page-components/controls';
import { evaluationLines, metricLines, type ShownRun, X_LABELS, type XAxis } from './lines';
import { METRICS, otherMetrics, rewardParts } from './metrics';

/** How all curves are drawn. */
export interface CurveStyle {
  readonly axis: XAxis;
  /** Weight of the past in exponential smoothing, in [0, 1). */
  readonly smoothing: number;
  readonly log: boolean;
}

const SMOOTHING: Record<string, string> = { '0': 'none', '0.7': 'little', '0.9': 'some', '0.97': 'much' };

export interface CurvesProps {
  readonly runs: readonly ShownRun[];
  readonly style: CurveStyle;
  readonly onStyle: (style: CurveStyle) => void;
  readonly zoom: Zoom;
}

export function CurveControls({ style, onStyle, zoom }: Omit<CurvesProps, 'runs'>) {
  return (
    <div class="toolbar">
      <Segmented
        label="Horizontal axis"
        options={X_LABELS}
        value={style.axis}
        onChange={(axis) => {
          zoom.set(undefined);
          onStyle({ ...style, axis });
        }}
      />
      <label class="select">
        Smoothing{' '}
        <select
          value={String(style.smoothing)}
          onChange={(event) => onStyle({ ...style, smoothing: Number(event.currentTarget.value) })}
        >
          {Object.entries(SMOOTHING).map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={style.log}
          onChange={(event) => onStyle({ ...style, log: event.currentTarget.checked })}
        />{' '}
        log scale
      </label>
      <button type="button" onClick={() => zoom.set(undefined)} disabled={!zoom.range}>
        Reset zoom
      </button>
    </div>
  );
}

export function RewardChart({
  runs,
  style,
  zoom,
  height = 260,
}: Omit<CurvesProps, 'onStyle'> & { height?: number }) {
  const lines = [
    ...metricLines(runs, 'reward', style.axis, style.smoothing),
    ...evaluationLines(runs, style.axis),
  ];
  return (
    <Chart
      title="Reward"
      note="Mean of an epoch's images; dashed: held-out prompts at noise level 0"
      lines={lines}
      xLabel={X_LABELS[style.axis]}
      height={height}
      zoom={zoom}
      log={style.log}
    />
  );
}

export function Curves({ runs, style, onStyle, zoom }: CurvesProps) {
  const names = runs.flatMap(({ run }) => Object.keys(run.metrics));
  const chart = (name: string, title = name, note?: string) => {
    const lines = metricLines(runs, name, style.axis, style.smoothing);
    return lines.length === 0 ? null : (
      <Chart
        key={name}
        title={title}
        note={note}
        lines={lines}
        xLabel={X_LABELS[style.axis]}
        zoom={zoom}
        log={style.log}
      />
    );
  };
  const others = otherMetrics(names);
  return (
    <>
      <CurveControls style={style} onStyle={onStyle} zoom={zoom} />
      <p class="hint">
        Drag across a chart to zoom all of them; double-click shows everything. Keys on a chart: arrows read
        values, + and − zoom, 0 resets.
      </p>
      <div class="charts">
        {rewardParts(names).map((name) => chart(name, `Reward, ${name.slice('reward.'.length)}`))}
        {Object.entries(METRICS).map(([name, { title, note }]) => chart(name, title, note))}
      </div>
      {others.length > 0 && (
        <details>
          <summary>More metrics ({others.length})</summary>
          <div class="charts">{others.map((name) => chart(name))}</div>
        </details>
      )}
    </>
  );
}
