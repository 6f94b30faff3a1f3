/** The public API: open a node in a process of your own. Everything else is reached through the command and HTTP. */
export { type LoadedConfig, loadConfig } from './config.ts';
export { type ErrorCode, errorCodes, exitStatusOf, ReplicationError, type RetryVerdict } from './errors.ts';
export type { NodeConfig } from './model/config.ts';
export { type NodeOptions, openNode, type RunningNode } from './site.ts';
export { openRealWorld } from './world/real.ts';
export type { World } from './world/world.ts';
