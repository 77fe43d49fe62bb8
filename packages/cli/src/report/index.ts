/** Charts, image grids and pages, as text and PNG. */
export {
  type Bars,
  type ChartOptions,
  escapeXml,
  histogramChart,
  lineChart,
  movingAverage,
  type Series,
} from './chart';
export { htmlReport, type Section } from './html';
export { type GridCell, type GridOptions, imageGrid } from './image-grid';
export { writeRunReport } from './run-report';
