/** Overlaps the work on successive items of a stream without losing their order. */

/**
 * Yields `map(item)` for each item of `source`, in order, with at most `aheadCount` results begun and not yet taken.
 * The first failure, of the source or of `map`, ends the stream; leaving the loop early ends the source. Either way what
 * was begun has ended before the stream does: who cleans up afterwards is alone.
 */
export async function* mapAhead<Item, Result>(
  source: AsyncIterable<Item> | Iterable<Item>,
  aheadCount: number,
  map: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const begun: Promise<Result>[] = [];
  try {
    for await (const item of source) {
      const result = map(item);
      // Its failure is reported when its turn comes; until then it is not "unhandled".
      result.catch(() => {});
      begun.push(result);
      if (begun.length < aheadCount) continue;
      const first = begun.shift();
      if (first !== undefined) yield await first;
    }
    for (let first = begun.shift(); first !== undefined; first = begun.shift()) yield await first;
  } finally {
    await Promise.allSettled(begun);
  }
}
