// pg-boss with batches of 500, fetched one after the other as long as they are full, and woken by notifications.

import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { main } from './protocol.mjs'

const QUEUE = 'noop'
const OPTIONS = { batchSize: 500, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }

class Boss {
  constructor (url) {
    this.url = url
  }

  async open () {
    this.boss = new PgBoss({ connectionString: this.url, useListenNotify: true })
    this.boss.on('error', error => console.error(error))
    await this.boss.start()
    await this.boss.createQueue(QUEUE, { notify: true })
    this.pool = new pg.Pool({ connectionString: this.url, max: 1 })
  }

  async enqueue (numbers) {
    if (numbers.length === 1) await this.boss.send(QUEUE, { n: numbers[0] })
    else await this.boss.insert(QUEUE, numbers.map(n => ({ data: { n } })))
  }

  async drain (handle, complete) {
    await this.work(handle)
    await complete
    // Waits for the completion of the last batch.
    await this.boss.offWork(QUEUE, { wait: true })
  }

  async work (handle) {
    await this.boss.work(QUEUE, OPTIONS, async jobs => {
      for (const job of jobs) handle(job.data.n)
    })
  }

  async left () {
    const { rows } = await this.pool.query(`SELECT count(*)::int AS jobs FROM pgboss.job WHERE name = '${QUEUE}' AND state <> 'completed'`)
    return rows[0].jobs
  }

  async close () {
    await this.boss.stop({ graceful: false })
  }
}

await main(Boss)
