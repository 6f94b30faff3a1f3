/** Composition root of a worker thread: the table of jobs it can run. */
import { compressionJobs } from './engine/delta/compression.ts';
import { diffJobList } from './engine/delta/diff-jobs.ts';
import { signJobList } from './engine/delta/sign-jobs.ts';
import { serveJobs } from './world/thread-protocol.ts';

serveJobs([...compressionJobs, ...diffJobList, ...signJobList]);
