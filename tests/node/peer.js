// A process with npm's hypercore that does what it is told: commands as JSON lines on stdin, an answer each on stdout.
//   NODE_PATH=.../node_modules node peer.js FOLDER
const crypto = require('hypercore-crypto')
const fs = require('fs')
const Hypercore = require('hypercore')
const net = require('net')
const path = require('path')
const readline = require('readline')

const folder = process.argv[2]
const cores = new Map()
const sockets = []

function hash (blocks) {
  return crypto.hash(blocks.map((block) => crypto.data(block))).toString('hex')
}

async function info (core) {
  const { length, fork, byteLength, contiguousLength } = core
  return {
    key: core.key.toString('hex'),
    length,
    fork,
    byteLength,
    contiguousLength,
    treeHash: (await core.treeHash()).toString('hex')
  }
}

function replicate (socket, isInitiator) {
  sockets.push(socket)
  socket.setNoDelay(true)
  let stream = null
  for (const core of cores.values()) {
    // The first makes the encrypted stream, the others share it.
    if (stream === null) stream = core.replicate(isInitiator)
    else core.replicate(stream)
  }
  stream.on('error', (error) => { socket.trouble = String(error) })
  socket.on('error', () => {})
  socket.pipe(stream).pipe(socket)
}

// Block i is i in decimal with as many bytes after it as make it `size` long.
function madeBlock (i, size) {
  const text = Buffer.from(`block ${i} `)
  return Buffer.concat([text, Buffer.alloc(Math.max(0, size - text.length), i & 255)])
}

const commands = {
  async open ({ name, key, seed }) {
    const opts = seed ? { keyPair: crypto.keyPair(Buffer.from(seed, 'hex')) } : {}
    const core = new Hypercore(path.join(folder, name), key ? Buffer.from(key, 'hex') : null, opts)
    await core.ready()
    cores.set(name, core)
    return info(core)
  },
  async append ({ name, start, count, size }) {
    const blocks = []
    for (let i = start; i < start + count; i++) blocks.push(madeBlock(i, size))
    await cores.get(name).append(blocks)
    return info(cores.get(name))
  },
  async truncate ({ name, length }) {
    await cores.get(name).truncate(length)
    return info(cores.get(name))
  },
  async clear ({ name, start, end }) {
    await cores.get(name).clear(start, end)
    return info(cores.get(name))
  },
  listen () {
    const server = net.createServer((socket) => replicate(socket, false))
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port }))
    })
  },
  connect ({ port }) {
    replicate(net.connect(port, '127.0.0.1'), true)
    return {}
  },
  async wait ({ name, length, fork }) {
    const core = cores.get(name)
    while (core.length < length || core.fork < (fork || 0)) {
      await new Promise((resolve) => {
        core.once('append', resolve)
        core.once('truncate', resolve)
      })
    }
    return info(core)
  },
  async download ({ name, start, end }) {
    await cores.get(name).download({ start, end }).done()
    return info(cores.get(name))
  },
  async get ({ name, blocks, timeout }) {
    const found = await Promise.all(blocks.map((index) => cores.get(name).get(index, { timeout: timeout || 0 })))
    return { blocks: found.map((block) => block.toString('hex')) }
  },
  async hash ({ name, start, end }) {
    const blocks = []
    for (let i = start; i < end; i++) blocks.push(await cores.get(name).get(i, { wait: false }))
    return { hash: hash(blocks) }
  },
  async seek ({ name, bytes }) {
    return { found: await cores.get(name).seek(bytes) }
  },
  bytes () {
    return {
      sent: sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0),
      received: sockets.reduce((sum, socket) => sum + socket.bytesRead, 0),
      trouble: sockets.map((socket) => socket.trouble || null)
    }
  },
  hangUp () {
    for (const socket of sockets) socket.destroy()
    return {}
  }
}

fs.mkdirSync(folder, { recursive: true })
readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, command, ...args } = JSON.parse(line)
  try {
    process.stdout.write(JSON.stringify({ id, ...(await commands[command](args)) }) + '\n')
  } catch (error) {
    process.stdout.write(JSON.stringify({ id, error: String(error) }) + '\n')
  }
}).on('close', () => process.exit(0))
