/** What was transferred once is not transferred again, whoever is killed and however often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/model/limits.ts';
import { Hierarchy, smallHierarchy } from '../scenarios/hierarchy.ts';
import { warmUp } from '../scenarios/warm-up.ts';

const contentBytes = 12_000_000;
const killCount = 6;
const patience = { virtualMsMax: 20 * 60_000 };

/** Who receives, who is killed. */
const cases = [
  { receiver: 'c01', victim: 'p01', crash: 'kill' },
  { receiver: 'c01', victim: 'c01', crash: 'kill' },
  { receiver: 'c01', victim: 'c01', crash: 'powerCut' },
  { receiver: 'b01', victim: 'c01', crash: 'kill' },
  { receiver: 'b01', victim: 'b01', crash: 'powerCut' },
] as const;

for (const { receiver, victim, crash } of cases) {
  test(`${crash} of ${victim} while ${receiver} receives costs at most one piece each time`, async () => {
    await warmUp();
    const hierarchy = new Hierarchy(`resume ${receiver} ${victim} ${crash}`, smallHierarchy);
    const { simulation } = hierarchy;
    simulation.network.setAllLinks({ rateBytesPerSecond: 1_000_000 });
    let receivedBytes = 0;
    simulation.trace.onLine = (line) => {
      const match = new RegExp(` ${receiver} received (\\d+) bytes`).exec(line);
      receivedBytes += Number(match?.[1] ?? 0);
    };
    hierarchy.publishSource(new Map([['big', simulation.seeded.bytes(contentBytes)]]));
    for (const host of hierarchy.hosts) hierarchy.startNode(host);
    const packageId = await simulation.drive(hierarchy.setUp(), patience);
    for (let kill = 0; kill < killCount; kill += 1) {
      // Each kill falls into the transfer: after the next million bytes.
      const target = receivedBytes + 1_300_000;
      await simulation.run(() => receivedBytes >= target, patience);
      hierarchy.machine(victim)[crash]();
      await simulation.advance(2_000);
      hierarchy.startNode(victim);
    }
    await simulation.drive(hierarchy.reaches(receiver, packageId, 1), patience);
    await simulation.drive(hierarchy.check(receiver), patience);
    const wasted = receivedBytes - contentBytes;
    // Beside the pieces: questions, answers, heads, and what the check reads is not among the receiver's.
    assert.ok(wasted < killCount * limits.uploadPieceBytesMax + 500_000, `${wasted} bytes more than the content came`);
  });
}
