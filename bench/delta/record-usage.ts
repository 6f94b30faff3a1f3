/**
 * Preloaded into a Node process (`--import`) where GNU time is absent or too coarse: writes what the process used, its threads
 * included, into the file named by `SITEFERRY_BENCH_USAGE` when it ends.
 */
import { writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const path = process.env['SITEFERRY_BENCH_USAGE'];

if (isMainThread && path !== undefined) {
  process.on('exit', () => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    // Microseconds, and kilobytes on every platform.
    writeFileSync(
      path,
      JSON.stringify({ cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakRssBytes: maxRSS * 1024 }),
    );
  });
}
