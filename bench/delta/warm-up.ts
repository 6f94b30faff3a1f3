/**
 * Our commands, once, unmeasured. Node keeps what it compiled beside the program: after a change of the sources the first
 * run of a module costs 0.3 s more than all later ones, and that would be in one row and not in the others; in the worst
 * place, the reference that others are divided by, or the empty pair that is taken off the others.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from './meter.ts';
import { randomBytes } from './seeded.ts';
import type { TaskSetting } from './task.ts';

/** Enough for threads to be worth it. */
const basisBytes = 4 * 1024 * 1024;

/** What fails here fails again where it is measured, and is told there. Rejects only when the signal aborts. */
export async function warmUp({ meter, scratch, signal }: TaskSetting, siteferry: Command): Promise<void> {
  const place = join(scratch, 'warm-up');
  await mkdir(place);
  try {
    const [basis, target] = [join(place, 'basis'), join(place, 'target')];
    const content = randomBytes(basisBytes, 'warm-up');
    await writeFile(basis, content);
    await writeFile(target, Buffer.concat([content.subarray(0, basisBytes / 2), Buffer.from('new'), content]));
    for (const words of [
      ['diff', basis, target, '-o', join(place, 'diff')],
      ['patch', basis, join(place, 'diff'), '-o', join(place, 'rebuilt')],
      ['signature', basis, '-o', join(place, 'signature')],
      ['delta', join(place, 'signature'), target, '-o', join(place, 'delta')],
    ]) {
      await meter.run([...siteferry, ...words, '--json'], signal).catch(() => signal.throwIfAborted());
    }
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}
