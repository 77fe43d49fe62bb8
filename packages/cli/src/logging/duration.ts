/** Seconds as hours, minutes and seconds, e.g. `2 h 5 min`, `3 min 20 s`, `2 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
