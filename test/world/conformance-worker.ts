/** The worker of the tests of `realThreads`. */
import { serveJobs } from '../../src/world/thread-protocol.ts';
import { conformanceJobs } from '../conformance/threads.ts';
import { realOnlyJobs } from './thread-jobs.ts';

serveJobs([...conformanceJobs, ...realOnlyJobs]);
