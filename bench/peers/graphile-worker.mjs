// graphile-worker as its page on performance says: 24 jobs at a time, a local queue of 500, jobs completed in batches.

import pg from 'pg'
import { Logger, makeWorkerUtils, run, runMigrations, WorkerPreset } from 'graphile-worker'
import { main } from './protocol.mjs'

const CONCURRENT = 24
const quiet = new Logger(() => () => {})

class GraphileWorker {
  constructor (url) {
    this.url = url
  }

  async open () {
    await runMigrations({ connectionString: this.url, logger: quiet })
    this.utils = await makeWorkerUtils({ connectionString: this.url, logger: quiet })
    this.pool = new pg.Pool({ connectionString: this.url, max: 1 })
  }

  async enqueue (numbers) {
    if (numbers.length === 1) await this.utils.addJob('noop', { n: numbers[0] })
    else await this.utils.addJobs(numbers.map(n => ({ identifier: 'noop', payload: { n } })))
  }

  async drain (handle, complete) {
    const runner = await this.start(handle)
    await complete
    // Waits for the completion of what was done.
    await runner.stop()
  }

  async work (handle) {
    await this.start(handle)
  }

  async left () {
    const { rows } = await this.pool.query('SELECT count(*)::int AS jobs FROM graphile_worker._private_jobs')
    return rows[0].jobs
  }

  async close () {}

  async start (handle) {
    return await run({
      preset: {
        extends: [WorkerPreset],
        worker: {
          connectionString: this.url,
          concurrentJobs: CONCURRENT,
          maxPoolSize: CONCURRENT + 1,
          localQueue: { size: 500 },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
          logger: quiet
        }
      },
      noHandleSignals: true,
      taskList: { noop: async payload => handle(payload.n) }
    })
  }
}

await main(GraphileWorker)
