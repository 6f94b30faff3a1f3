/**
 * All mechanisms of one node on one World, opened in order and closed in reverse. What a kill left half done is cleared
 * or queued again here, so that the roles start on sound ground.
 */
import { join } from 'node:path';
import { ReplicationError } from '../errors.ts';
import type { ContentId } from '../model/content.ts';
import type { PackageId, Version } from '../model/package.ts';
import type { NodeKind } from '../model/site.ts';
import { contentsOf } from '../wire/manifest.ts';
import type { Database } from '../world/database.ts';
import type { World } from '../world/world.ts';
import { Catalog } from './catalog/catalog.ts';
import { Completeness } from './catalog/completeness.ts';
import { Holdings } from './holdings/holdings.ts';
import { Journal } from './journal/journal.ts';
import { Queue } from './queue/queue.ts';
import { Inbox } from './spool/inbox.ts';
import { Outbox } from './spool/outbox.ts';
import { ContentStore } from './store/content-store.ts';

export interface NodeIdentity {
  readonly name: string;
  readonly kind: NodeKind;
}

export interface Engine extends AsyncDisposable {
  readonly world: World;
  readonly identity: NodeIdentity;
  /** Where everything this node keeps lies: never a package's source. */
  readonly directory: string;
  readonly store: ContentStore;
  readonly catalog: Catalog;
  readonly holdings: Holdings;
  readonly completeness: Completeness;
  readonly queue: Queue;
  readonly journal: Journal;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
}

/**
 * Opens the node that lives in `directory` (absolute; created when absent). `already-running` when another process has
 * it open. A database that cannot be trusted is set aside and everything in it made anew.
 */
export async function openEngine(world: World, directory: string, identity: NodeIdentity): Promise<Engine> {
  await world.files.makeDirectory(directory);
  await using opened = new AsyncDisposableStack();
  opened.use(await world.files.lock(directory));
  const { database, damagedPath } = await openTrusted(world, join(directory, 'database'));
  opened.use(database);
  const journal = new Journal(world, database);
  const store = await ContentStore.open(world, database, directory);
  const place = store.publishPlace;
  const catalog = await Catalog.open(world, place, join(directory, 'catalog'));
  const inbox = new Inbox(world, database, join(directory, 'inbox'), ({ packageId, version }) =>
    catalog.versions(packageId as PackageId).includes(version),
  );
  const outbox = new Outbox(world, place, join(directory, 'outbox'));
  store.onLoss = (ids) => onLoss(engine, ids);
  const engine = {
    world,
    identity,
    directory,
    store,
    catalog,
    journal,
    inbox,
    outbox,
    holdings: new Holdings(database),
    completeness: new Completeness(catalog, store),
    queue: new Queue(world, database),
  };
  if (damagedPath !== undefined)
    await journal.tell(30007, 'engine', `The database was damaged and is rebuilt; the old one is ${damagedPath}`);
  await reconcile(engine);
  const closing = opened.move();
  return { ...engine, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}

async function openTrusted(world: World, path: string): Promise<{ database: Database; damagedPath?: string }> {
  try {
    return { database: await world.openDatabase(path) };
  } catch (error) {
    if (!(error instanceof ReplicationError && error.code === 'database-damaged')) throw error;
    const damagedPath = `${path}.damaged-${world.clock.wallMs()}`;
    await world.files.rename(path, damagedPath);
    await world.files.syncDirectory(join(path, '..'));
    return { database: await world.openDatabase(path), damagedPath };
  }
}

/**
 * Contents are missing or damaged. Nothing may go on as if they were here: not the memory of what was installed, and at
 * the creating site the source is read once more, since it may hold what the library lost.
 */
async function onLoss(
  { catalog, inbox, journal, queue }: Omit<Engine, typeof Symbol.asyncDispose>,
  ids: readonly ContentId[],
): Promise<void> {
  const lost = new Set(ids);
  const hurt = new Set<string>();
  for (const { id, source } of catalog.packages()) {
    for (const version of catalog.versions(id)) {
      if (!(await namesOneOf(catalog, id, version, lost))) continue;
      hurt.add(`${id}/${version}`);
      if (source !== undefined) await queue.put('snapshot', id, null, { keepWaiting: true });
    }
  }
  await inbox.forgetInstalled(({ packageId, version }) => hurt.has(`${packageId}/${version}`));
  const text = `${ids.length} contents were found missing or damaged, ${ids[0]} among them; versions that need them are no longer claimed`;
  await journal.tell(30010, 'engine', text);
}

async function namesOneOf(
  catalog: Catalog,
  id: PackageId,
  version: Version,
  lost: ReadonlySet<ContentId>,
): Promise<boolean> {
  try {
    return [...contentsOf(await catalog.manifest(id, version)).keys()].some((content) => lost.has(content));
  } catch (error) {
    // Its manifest is damaged as well, and set aside by now.
    if (error instanceof ReplicationError && error.retry === 'elsewhere') return false;
    throw error;
  }
}

/**
 * Queues whatever ought to be under way, judged by what is on disk. The same work put twice is one job, and a job with
 * nothing to do ends at once, so this needs no memory of what was interrupted.
 */
async function reconcile({ catalog, queue, inbox }: Pick<Engine, 'catalog' | 'queue' | 'inbox'>): Promise<void> {
  await inbox.sweep();
  for (const id of inbox.despooling()) await queue.put('despool', id, null, { keepWaiting: true });
  for (const { id, source } of catalog.packages()) {
    if (source !== undefined && catalog.newestVersion(id) === 0)
      await queue.put('snapshot', id, null, { keepWaiting: true });
    await queue.put('distribute', id, null, { keepWaiting: true });
  }
}
