/** `npm run sim -- --seeds 200 [--first 1]`: hierarchies with faults, one line per seed; the first failing seed is kept. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Hierarchy } from '../scenarios/hierarchy.ts';
import { warmUp } from '../scenarios/warm-up.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    first: { type: 'string', default: '1' },
    every: { type: 'string', default: '1500' },
  },
});
const [count, first] = [Number(values.seeds), Number(values.first)];
const keptPath = join(import.meta.dirname, '..', 'seeds.json');

await warmUp();
let crashCount = 0;
let checkedFileCount = 0;
let virtualMs = 0;
let digests = '';
for (let seed = first; seed < first + count; seed += 1) {
  try {
    const result = await new Hierarchy(seed).run({
      versionCount: 3,
      faultEveryMs: Number(values.every),
      faultsForMs: 30_000,
    });
    crashCount += result.crashCount;
    checkedFileCount += result.checkedFileCount;
    virtualMs += result.virtualMs;
    digests = result.digest.slice(0, 16);
    console.log(
      `seed ${seed} ok: ${result.crashCount} crashes, ${result.checkedFileCount} files checked, ${Math.round(result.virtualMs / 1000)} virtual s, trace ${digests}`,
    );
  } catch (error) {
    console.error(`seed ${seed} FAILED\n${error instanceof Error ? error.message : error}`);
    const kept = JSON.parse(readFileSync(keptPath, 'utf8')) as { hierarchy: number[]; dense: number[] };
    writeFileSync(keptPath, `${JSON.stringify({ ...kept, hierarchy: [...new Set([...kept.hierarchy, seed])] })}\n`);
    process.exit(1);
  }
}
console.log(
  `${count} seeds passed, ${crashCount} crashes, ${checkedFileCount} files checked, ${(virtualMs / 3_600_000).toFixed(1)} virtual hours`,
);
