/**
 * `npm run demo:kill -- OLD NEW [--kills 20] [--pause 500] [--seed N]`: the demo while each of its processes is killed with -9 at
 * that many random moments, 20 to `pause` ms apart, from the first line of progress on that contains `--after TEXT`. Exit status 0 only when all kills struck and everything was verified.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Seeded } from '../sim/seeded.ts';
import { killNode, nodeNames, runDemo } from './demo-process.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '20' },
    pause: { type: 'string', default: '500' },
    after: { type: 'string', default: '' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});
const [basis, target] = positionals;
if (basis === undefined || target === undefined) throw new TypeError('two folders are needed: OLD NEW');
const seeded = new Seeded(values.seed);
const root = mkdtempSync(join(tmpdir(), 'siteferry-kill-'));
const pidFile = join(root, 'pids.json');
const left = new Map(nodeNames.map((name) => [name, Number(values.kills)]));
let isOver = false;
let hasBegun = values.after === '';

async function killOn(): Promise<void> {
  while (!isOver && left.size > 0) {
    await sleep(seeded.integer(20, Number(values.pause)));
    const name = seeded.pick([...left.keys()]);
    if (isOver || !hasBegun || !killNode(pidFile, name)) continue;
    const count = (left.get(name) ?? 0) - 1;
    if (count === 0) left.delete(name);
    else left.set(name, count);
  }
}

function onProgress(line: string): void {
  console.error(line);
  if (line.includes(values.after)) hasBegun = true;
}

console.log(`seed ${values.seed}`);
const killing = killOn();
const end = await runDemo({ basis, target, pidFile, onProgress });
isOver = true;
await killing;
rmSync(root, { recursive: true, force: true });
const missed = [...left.values()].reduce((sum, count) => sum + count, 0);
const done = nodeNames.length * Number(values.kills) - missed;
console.log(
  `${done} kills, ${missed} found the demo over already, ${end.result?.restarts ?? 0} restarts, exit status ${end.exitCode}, verified: ${end.result?.ok === true}`,
);
process.exitCode = end.exitCode === 0 && end.result?.ok === true && missed === 0 ? 0 : 1;
