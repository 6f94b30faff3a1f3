/**
 * Structured lines for the operator's log collector: one event, its fields, never a secret and never file content.
 * What a person must act on goes to the journal as a status message; the log is for reading afterwards.
 */
import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Writes one line. `event` is a fixed short phrase; what varies goes into `fields`. Never throws. */
export type Log = (level: LogLevel, event: string, fields?: LogFields) => void;

export interface RealLogOptions {
  readonly level: LogLevel | 'silent';
  /** Constant fields of every line, such as the site code. */
  readonly bound: LogFields;
}

/** JSON lines on standard error, written synchronously so that the last line before a crash is there. */
export function realLog(options: RealLogOptions): Log {
  const destination = pino.destination({ fd: 2, sync: true });
  destination.on('error', () => {});
  const logger = pino(
    { level: options.level, base: options.bound, timestamp: pino.stdTimeFunctions.isoTime },
    destination,
  );
  return (level, event, fields) => {
    try {
      logger[level](fields ?? {}, event);
    } catch {
      // A full volume or a reader that went away: losing lines is better than losing the node.
    }
  };
}
