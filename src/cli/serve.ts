/** Runs a node in the foreground until it is told to stop. */
import { resolve } from 'node:path';
import { loadConfig } from '../config.ts';
import { inputEnded, isReadableByOthers } from '../world/host.ts';
import type { Run } from './shell.ts';

/** The whole life of a node: prints one line when it listens; returns after SIGTERM or SIGINT when all is closed. */
export async function serveNode({ shell, args, options }: Run<{ untilInputEnds?: boolean }>): Promise<undefined> {
  // Loaded here: every other command starts in half the time without the engine, its database and its log.
  const [{ openNode }, { realLog }, { openRealWorld }] = await Promise.all([
    import('../site.ts'),
    import('../world/log.ts'),
    import('../world/real.ts'),
  ]);
  const directory = resolve(shell.workingDirectory, args[0] ?? '.');
  const { files, environment, softwareVersion } = shell;
  const signal = options.untilInputEnds === true ? AbortSignal.any([shell.signal, inputEnded()]) : shell.signal;
  const { config, warnings } = await loadConfig({ files, directory, environment, isReadableByOthers });
  const log = realLog({ level: config.log.level, bound: { node: config.name } });
  for (const warning of warnings) log('warn', warning);
  await using world = await openRealWorld({
    workerUrl: new URL('../worker.ts', import.meta.url),
    threadCount: config.threads.count,
    log,
  });
  if (signal.aborted) return undefined;
  const node = await openNode(world, { config, directory, softwareVersion });
  try {
    const { kind, name } = config;
    const { origin } = node;
    shell.out.write(
      options.json === true
        ? `${JSON.stringify({ ok: true, listening: origin, kind, name, pid: process.pid })}\n`
        : `listening ${origin}\n`,
    );
    await aborted(signal);
  } finally {
    await node.stop();
  }
  return undefined;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** For whoever starts nodes as child processes: they end with their parent, even when that is killed. */
export const untilInputEndsOption = ['--until-input-ends', 'stop also when standard input ends'] as const;
