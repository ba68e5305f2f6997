// What every program here does, for Node.js; protocol.py says what.

import { createInterface } from 'node:readline'

const PAUSE = [15, 25] // milliseconds between two jobs that are sent, at least and at most
const ENQUEUED_AT_ONCE = 1000

const now = () => Number(process.hrtime.bigint()) / 1e9
const say = what => process.stdout.write(`${JSON.stringify(what)}\n`)
const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const sayAndWait = async what => {
  say(what)
  await lines.next()
}

class Tally {
  calls = 0
  first = 0
  seen = new Set()

  constructor (expected) {
    this.complete = new Promise(resolve => { this.resolve = resolve })
    this.expected = expected
  }

  handle = number => {
    if (!this.calls) this.first = now()
    this.calls += 1
    this.seen.add(number)
    if (this.seen.size === this.expected) this.resolve()
  }

  said () {
    const seconds = now() - this.first
    let sum = 0
    for (const number of this.seen) sum += number
    return { calls: this.calls, distinct: this.seen.size, sum, seconds }
  }
}

async function enqueue (queue, from, to) {
  for (let start = from; start < to; start += ENQUEUED_AT_ONCE) {
    const end = Math.min(to, start + ENQUEUED_AT_ONCE)
    await queue.enqueue(Array.from({ length: end - start }, (_, n) => start + n))
  }
}

async function drain (queue, count, warm) {
  if (warm) {
    await enqueue(queue, -warm, 0)
    const first = new Tally(warm)
    await queue.drain(first.handle, first.complete)
  }
  await enqueue(queue, 0, count)
  await sayAndWait({ ready: true })
  const tally = new Tally(count)
  await queue.drain(tally.handle, tally.complete)
  await sayAndWait(tally.said())
  say({ left: await queue.left() })
}

async function work (queue, count, warm) {
  const began = {}
  let different = 0
  const done = new Promise(resolve => {
    queue.work(number => {
      if (number in began) return
      began[number] = now()
      different += 1
      if (different === count + warm) resolve()
    }).then(() => say({ ready: true }))
  })
  await done
  say({ at: began })
}

async function send (queue, count, warm) {
  await sayAndWait({ ready: true })
  const began = {}
  for (let number = -warm; number < count; number += 1) {
    await pause(PAUSE[0] + Math.random() * (PAUSE[1] - PAUSE[0]))
    began[number] = now()
    await queue.enqueue([number])
  }
  say({ at: began })
}

export async function main (Queue) {
  const [url, mode, count, warm] = process.argv.slice(2)
  // However the process that has started this one ends, this one is gone soon after.
  const parent = process.ppid
  setInterval(() => { if (process.ppid !== parent) process.exit(1) }, 1000).unref()
  const queue = new Queue(url)
  await queue.open()
  await { drain, work, send }[mode](queue, Number(count), Number(warm))
  await queue.close()
  process.exit(0)
}
