/** How quantities are printed. Inside the program they are bare numbers whose names carry the unit. */

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `4.2 MiB`; binary units, at most one decimal, whole bytes below one KiB. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < byteUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${byteUnits[unit]}`;
}

/** `12.3 %`; of a fraction 0 to 1. Values that would round to 100 without being it show one more digit. */
export function formatPercent(fraction: number): string {
  const percent = fraction * 100;
  return `${percent > 99.9 && percent < 100 ? percent.toFixed(2) : percent.toFixed(1)} %`;
}

export function formatSeconds(seconds: number): string {
  return seconds < 10 ? `${seconds.toFixed(2)} s` : `${seconds.toFixed(1)} s`;
}
