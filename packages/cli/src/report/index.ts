/** Charts, image grids and pages, as text and PNG. */
export {
  type ChartOptions,
  escapeXml,
  lineChart,
  movingAverage,
  type Series,
} from './chart';
export { htmlReport, type Section } from './html';
export { type GridCell, type GridOptions, imageGrid } from './image-grid';
export { type RunReportOptions, writeRunReport } from './run-report';
