/** Points [n · 2] in [−2.5, 2.5]² as text: darker where there are more. */
export function picture(points: ArrayLike<number>, width = 40, height = 20): string {
  const counts = new Float64Array(width * height);
  for (let i = 0; i + 1 < points.length; i += 2) {
    const column = Math.floor(((points[i]! + 2.5) / 5) * width);
    const row = Math.floor(((2.5 - points[i + 1]!) / 5) * height);
    if (column >= 0 && column < width && row >= 0 && row < height) counts[row * width + column]! += 1;
  }
  const most = Math.max(1, ...counts);
  const shades = ' .:-=+*#%@';
  const shade = (count: number) => shades[Math.min(9, Math.ceil((count / most) * 9))]!;
  return Array.from({ length: height }, (_, row) =>
    [...counts.subarray(row * width, (row + 1) * width)].map(shade).join(''),
  ).join('\n');
}
