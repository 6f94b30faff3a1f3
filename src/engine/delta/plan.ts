/**
 * What a destination lacks, and the cheapest way to give it each content: already there, a delta against something it
 * holds, or whole. Pure: two manifests and a set in, a plan out.
 */
import type { ContentId } from '../../model/content.ts';
import { limits } from '../../model/limits.ts';
import { contentsOf, type FileEntry, fileEntries, type Manifest } from '../../wire/manifest.ts';
import type { Mechanisms } from '../../wire/payload.ts';

export type PlannedContent =
  | { readonly way: 'present'; readonly content: ContentId; readonly bytes: number }
  | { readonly way: 'delta'; readonly content: ContentId; readonly bytes: number; readonly basis: ContentId }
  | { readonly way: 'whole'; readonly content: ContentId; readonly bytes: number };

/**
 * One entry per distinct content of `target`, in order of first appearance. `basis` is the version the destination
 * confirmed; `isHeld` says what the destination has, `isHere` what we have: a basis must be both.
 */
export function planContents(
  target: Manifest,
  basis: Manifest | undefined,
  isHeld: (content: ContentId) => boolean,
  isHere: (content: ContentId) => boolean,
): PlannedContent[] {
  const chooser = new BasisChooser(
    basis === undefined ? [] : fileEntries(basis).filter((entry) => isHeld(entry.content) && isHere(entry.content)),
  );
  const paths = new Map<ContentId, FileEntry>();
  for (const entry of fileEntries(target)) if (!paths.has(entry.content)) paths.set(entry.content, entry);
  return [...contentsOf(target)].map(([content, bytes]): PlannedContent => {
    if (isHeld(content)) return { way: 'present', content, bytes };
    const entry = paths.get(content);
    const found = entry === undefined || bytes < limits.deltaTargetBytesMin ? undefined : chooser.choose(entry);
    return found === undefined ? { way: 'whole', content, bytes } : { way: 'delta', content, bytes, basis: found };
  });
}

export function mechanismsOf(plan: readonly PlannedContent[]): Mechanisms {
  const mechanisms = {
    present: { contents: 0, bytes: 0 },
    delta: { contents: 0, bytes: 0 },
    whole: { contents: 0, bytes: 0 },
  };
  for (const { way, bytes } of plan) {
    mechanisms[way].contents += 1;
    mechanisms[way].bytes += bytes;
  }
  return mechanisms;
}

/**
 * Finds the file of the basis that a target file most likely descends from: the same path; else, as `rsync --fuzzy`
 * does, a file of alike name, where names are alike that differ in digits only (a kernel's whole tree moves from
 * `…/6.1.0-55/…` to `…/6.1.0-56/…`), the longest common end of the paths first, then the closest size.
 */
class BasisChooser {
  readonly #byPath = new Map<string, FileEntry>();
  readonly #byName = new Map<string, FileEntry[]>();

  constructor(entries: readonly FileEntry[]) {
    for (const entry of entries) {
      if (entry.bytes < limits.deltaTargetBytesMin) continue;
      this.#byPath.set(entry.path, entry);
      const name = withoutDigits(entry.path.slice(entry.path.lastIndexOf('/') + 1));
      const alike = this.#byName.get(name);
      if (alike === undefined) this.#byName.set(name, [entry]);
      else if (alike.length < limits.basisCandidateCountMax) alike.push(entry);
    }
  }

  choose(target: FileEntry): ContentId | undefined {
    const same = this.#byPath.get(target.path);
    if (same !== undefined) return same.content;
    const parts = withoutDigits(target.path).split('/');
    let best: { readonly entry: FileEntry; readonly commonParts: number } | undefined;
    for (const entry of this.#byName.get(parts.at(-1) ?? '') ?? []) {
      const commonParts = commonEnd(parts, withoutDigits(entry.path).split('/'));
      const isBetter =
        best === undefined ||
        commonParts > best.commonParts ||
        (commonParts === best.commonParts && sizeGap(entry, target) < sizeGap(best.entry, target));
      if (isBetter) best = { entry, commonParts };
    }
    return best?.entry.content;
  }
}

function withoutDigits(text: string): string {
  return text.replaceAll(/\d+/g, '#');
}

function commonEnd(left: readonly string[], right: readonly string[]): number {
  const countMax = Math.min(left.length, right.length);
  let count = 0;
  while (count < countMax && left[left.length - 1 - count] === right[right.length - 1 - count]) count += 1;
  return count;
}

function sizeGap(left: FileEntry, right: FileEntry): number {
  return Math.abs(left.bytes - right.bytes);
}
