/** Charts and pages as text, image grids as PNG. */
export { type ChartOptions, lineChart, movingAverage, type Series } from './chart';
export { htmlReport, type Section } from './html';
export { type GridCell, type GridOptions, imageGrid } from './image-grid';
export { type RunReportOptions, writeRunReport } from './run-report';
