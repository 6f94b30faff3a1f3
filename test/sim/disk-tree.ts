/**
 * Names of a simulated volume: what the machine sees at once, and what a power cut may leave.
 *
 * A change of names (create, rename, remove) is durable when every directory it touches has been synced after it; until
 * then a power cut keeps or undoes it. A rename is one change: the file is at its old name or at its new one. A change
 * that is kept keeps the earlier changes of the same names, as every journalling file system does. File systems give
 * more (ext4 keeps the order of all changes); code that survives this survives them.
 */
import type { DatabaseRecords } from './database-records.ts';
import type { FileContent, PowerLoss } from './file-content.ts';
import type { Seeded } from './seeded.ts';

interface NodeFacts {
  readonly id: number;
  modifiedMs: number;
  changedMs: number;
  /** Whether the system refuses to open or list it. */
  isDenied: boolean;
  /** Handles that hold it although its name may be gone. */
  handleCount: number;
}
export interface FileNode extends NodeFacts {
  readonly kind: 'file';
  readonly content: FileContent;
  isExecutable: boolean;
  isNamed: boolean;
  /** What a simulated database keeps in this file; durable by its own rules. */
  records?: DatabaseRecords;
}
export interface DirectoryNode extends NodeFacts {
  readonly kind: 'directory';
  entries: Map<string, Node>;
  /** The names that survive any power cut. */
  durable: Map<string, Node>;
}
export interface LinkNode extends NodeFacts {
  readonly kind: 'symlink';
  readonly target: string;
}
export interface OtherNode extends NodeFacts {
  readonly kind: 'other';
}
export type Node = FileNode | DirectoryNode | LinkNode | OtherNode;

export interface Place {
  readonly directory: DirectoryNode;
  readonly name: string;
}

interface Change {
  readonly node: Node;
  readonly from: Place | undefined;
  readonly to: Place | undefined;
  /** Directories that must yet be synced. */
  readonly unsynced: Set<DirectoryNode>;
}

/** The ledger of changes of names, oldest first. */
export class DiskTree {
  readonly root: DirectoryNode;
  #pending: Change[] = [];

  constructor(root: DirectoryNode) {
    this.root = root;
  }

  /** Moves `node` from one place to another; without `from` it is created, without `to` removed. */
  change(node: Node, from: Place | undefined, to: Place | undefined): void {
    if (from !== undefined) from.directory.entries.delete(from.name);
    if (to !== undefined) to.directory.entries.set(to.name, node);
    const unsynced = new Set([from, to].flatMap((place) => (place === undefined ? [] : [place.directory])));
    this.#pending.push({ node, from, to, unsynced });
  }

  sync(directory: DirectoryNode): void {
    for (const change of this.#pending) change.unsynced.delete(directory);
    this.#commit((change) => change.unsynced.size === 0);
  }

  /** The same, and durable at once. */
  changeDurably(node: Node, from: Place | undefined, to: Place | undefined): void {
    this.change(node, from, to);
    const own = this.#pending.at(-1);
    this.#commit((change) => change === own);
  }

  /** Decides what survived; afterwards the machine sees exactly that. */
  powerCut(loss: PowerLoss, chance: Seeded): void {
    const mode = loss === 'some' ? chance.pick(['none', 'all', 'prefix', 'subset'] as const) : loss;
    const keptCount = mode === 'prefix' ? chance.integer(0, this.#pending.length + 1) : 0;
    const order = new Map(this.#pending.map((change, index) => [change, index]));
    this.#commit((change) => {
      if (mode === 'prefix') return (order.get(change) ?? 0) < keptCount;
      return mode === 'none' || (mode === 'subset' && chance.chance(0.5));
    });
    this.#pending = [];
    this.walk((node) => {
      if (node.kind === 'directory') node.entries = new Map(node.durable);
    }, 'durable');
  }

  /** Visits everything below and including the root, parents first, in order of names. */
  walk(visit: (node: Node, path: string) => void, view: 'entries' | 'durable' = 'entries'): void {
    const step = (node: Node, path: string): void => {
      visit(node, path);
      if (node.kind !== 'directory') return;
      for (const name of [...node[view].keys()].sort()) step(node[view].get(name) as Node, `${path}/${name}`);
    };
    step(this.root, '');
  }

  /** Makes the chosen changes durable, and with each one the earlier changes of the same names. */
  #commit(isChosen: (change: Change) => boolean): void {
    const names = new Set<string>();
    const kept = new Set<Change>();
    for (const change of this.#pending.toReversed()) {
      const own = [change.from, change.to].flatMap((at) => (at === undefined ? [] : [`${at.directory.id}/${at.name}`]));
      if (!isChosen(change) && !own.some((name) => names.has(name))) continue;
      kept.add(change);
      for (const name of own) names.add(name);
    }
    for (const { node, from, to } of kept.size === 0 ? [] : this.#pending.filter((change) => kept.has(change))) {
      if (from?.directory.durable.get(from.name) === node) from.directory.durable.delete(from.name);
      to?.directory.durable.set(to.name, node);
    }
    this.#pending = this.#pending.filter((change) => !kept.has(change));
  }
}
