/** Two versions of a real package, fetched from the npm registry with npm itself, unpacked once and kept. */
import { join } from 'node:path';
import { ReplicationError } from '../../errors.ts';
import { type SpawnOptions, spawnProcess } from '../../world/processes.ts';
import { randomHex } from '../../world/random.ts';
import type { Shell } from '../shell.ts';

const sample = { name: 'typescript', basis: '5.8.2', target: '5.8.3' } as const;

export interface SamplePackages {
  readonly basis: string;
  readonly target: string;
}

/** `cache` is created when absent. Throws `registry-unreachable`. */
export async function fetchSamplePackages(
  shell: Shell,
  cache: string,
  tell: (line: string) => void,
): Promise<SamplePackages> {
  await shell.files.makeDirectory(cache);
  const [basis, target] = await Promise.all(
    [sample.basis, sample.target].map((version) => fetchVersion(shell, cache, version, tell)),
  );
  if (basis === undefined || target === undefined) throw new Error('both versions were asked for');
  return { basis, target };
}

async function fetchVersion(
  shell: Shell,
  cache: string,
  version: string,
  tell: (line: string) => void,
): Promise<string> {
  const { files, random } = shell;
  const label = `${sample.name}-${version}`;
  const place = join(cache, label);
  // npm puts everything of a package into a folder of this name.
  const content = join(place, 'package');
  if ((await files.facts(content))?.kind === 'directory') return content;
  const draft = join(cache, `.${label}.${randomHex(random, 4)}`);
  await files.makeDirectory(draft);
  try {
    tell(`fetching ${sample.name} ${version} from the npm registry`);
    await runTool(
      shell,
      [...npmCommand(shell), 'pack', `${sample.name}@${version}`, '--silent', '--pack-destination', draft],
      draft,
    );
    await runTool(shell, ['tar', '-xzf', `${label}.tgz`], draft);
    await files.remove(join(draft, `${label}.tgz`));
    // Someone else may have fetched it meanwhile: then theirs is as good.
    if ((await files.facts(place)) === undefined) await files.rename(draft, place);
  } finally {
    await files.removeTree(draft);
  }
  return content;
}

/** The npm that started us when there is one, since it needs no shell on Windows. */
function npmCommand({ environment }: Shell): SpawnOptions['command'] {
  const script = environment['npm_execpath'];
  return script?.endsWith('.js') === true ? [process.execPath, script] : ['npm'];
}

async function runTool(shell: Shell, command: SpawnOptions['command'], cwd: string): Promise<void> {
  const lines: string[] = [];
  let outcome: string;
  try {
    await using tool = await spawnProcess({ command, cwd, onLine: (_stream, line) => void lines.push(line) });
    const stop = (): void => void tool.kill('SIGTERM');
    shell.signal.addEventListener('abort', stop, { once: true });
    const { exitCode, signal } = await tool.exited;
    shell.signal.removeEventListener('abort', stop);
    shell.signal.throwIfAborted();
    if (exitCode === 0) return;
    outcome = `it ended with ${exitCode ?? signal}: ${lines.slice(-3).join(' ')}`;
  } catch (error) {
    shell.signal.throwIfAborted();
    outcome = error instanceof Error ? error.message : String(error);
  }
  throw new ReplicationError(
    'registry-unreachable',
    `Cannot fetch ${sample.name} with "${command.slice(0, 3).join(' ')}": ${outcome}`,
    { hint: 'two folders of your own: npm start -- OLD NEW' },
  );
}
