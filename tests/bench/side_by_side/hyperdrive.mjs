// What npm's hyperdrive takes for the same work: `node hyperdrive.mjs STORE TREE BLOB ENTRIES`, one JSON line.
// NODE_PATH does not reach ES modules, so the folder with `node_modules` is given as the environment's NODE_MODULES.
import { createRequire } from 'node:module'
import fs from 'node:fs'
import path from 'node:path'

const require = createRequire(path.join(process.env.NODE_MODULES, 'anything.js'))
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')

const [store, tree, blob, entries] = process.argv.slice(2)
const results = {}

async function timed (name, work) {
  const began = process.hrtime.bigint()
  await work()
  results[name] = Number(process.hrtime.bigint() - began) / 1e9
}

function * files (folder, below = '') {
  for (const entry of fs.readdirSync(path.join(folder, below), { withFileTypes: true })) {
    const name = below + '/' + entry.name
    if (entry.isDirectory()) yield * files(folder, name)
    else if (entry.isFile()) yield name
  }
}

function size (folder) {
  let sum = 0
  for (const name of files(folder)) sum += fs.statSync(path.join(folder, name)).blocks * 512
  return sum
}

async function open () {
  const corestore = new Corestore(store)
  const drive = new Hyperdrive(corestore)
  await drive.ready()
  return [corestore, drive]
}

function written (file, into) {
  return new Promise((resolve, reject) => {
    fs.createReadStream(file, { highWaterMark: 1 << 20 }).on('error', reject).pipe(into).on('error', reject).on('close', resolve)
  })
}

let [corestore, drive] = await open()
await timed('import a tree', async () => {
  for (const name of files(tree)) await drive.put('/tree' + name, fs.readFileSync(path.join(tree, name)))
})
await timed('a large file in', () => written(blob, drive.createWriteStream('/blob')))
await timed('a large file out', async () => {
  for await (const piece of drive.createReadStream('/blob')) results.bytes = (results.bytes ?? 0) + piece.length
})
for (let number = 0; number < Number(entries); number++) await drive.put(`/many/f${number}`, Buffer.alloc(0))
await corestore.close()
await timed('open', async () => { [corestore, drive] = await open(); await drive.entry('/blob') })
await timed('list a folder', async () => {
  results.listed = 0
  for await (const _ of drive.list('/many')) results.listed++
})
await corestore.close()
const before = size(store)
;[corestore, drive] = await open()
const edited = store + '.edited'
fs.copyFileSync(blob, edited)
const file = fs.openSync(edited, 'r+')
fs.writeSync(file, Buffer.alloc(4096, 7), 0, 4096, fs.fstatSync(file).size >> 1)
await written(edited, drive.createWriteStream('/blob'))
await corestore.close()
results['an edit of 4 KiB, KiB stored'] = (size(store) - before) / 1024
console.log(JSON.stringify(results))
