// Known answers of npm's packages for the wire, as JSON on stdout: tests/vectors/wire.json was made so.
//   NODE_PATH=.../node_modules node wire_vectors.js >../vectors/wire.json
const { EventEmitter } = require('events')
const c = require('compact-encoding')
const curve = require('noise-curve-ed')
const Noise = require('noise-handshake')
const Protomux = require('protomux')
const SecretStream = require('@hyperswarm/secret-stream')
const { Push } = require('sodium-secretstream')
const caps = require('hypercore/lib/caps')
const { wire } = require('hypercore/lib/messages')
const Bitfield = require('hypercore/lib/remote-bitfield')

const hex = (b) => Buffer.from(b).toString('hex')
const fill = (n, size = 32) => Buffer.alloc(size, n)

function noise () {
  const seeds = [1, 2, 3, 4].map((n) => fill(n))
  const pairs = seeds.map((seed) => curve.generateKeyPair(seed))
  const sides = [true, false].map((isInitiator, i) => {
    const side = new Noise('XX', isInitiator, pairs[i], { curve })
    side.initialise(Buffer.alloc(0))
    side.e = { publicKey: Buffer.from(pairs[2 + i].publicKey), secretKey: Buffer.from(pairs[2 + i].secretKey) }
    return side
  })
  const publicKeys = pairs.map((pair) => hex(pair.publicKey))
  const agreed = hex(curve.dh(pairs[1].publicKey, pairs[0]))
  const messages = []
  for (const sender of [0, 1, 0]) {
    const message = sides[sender].send()
    messages.push(hex(message))
    sides[1 - sender].recv(message)
  }
  const [initiator, responder] = sides
  const { tx, rx, hash } = initiator
  if (!hash.equals(responder.hash) || !tx.equals(responder.rx)) throw new Error('the sides differ')
  return {
    result: { seeds: seeds.map(hex), publicKeys, agreed, messages, tx: hex(tx), rx: hex(rx), hash: hex(hash) },
    tx,
    hash
  }
}

function stream (tx, hash) {
  const header = Buffer.alloc(24)
  const push = new Push(tx, undefined, header)
  const plain = ['', '00', hex(Buffer.from('block of a log')), hex(fill(7, 300))]
  const sealed = plain.map((text) => hex(push.next(Buffer.from(text, 'hex'))))
  const ids = [true, false].map((isInitiator) => hex(SecretStream.id(hash, isInitiator)))
  return { header: hex(header), plain, sealed, ids }
}

class Pipe extends EventEmitter {
  constructor () {
    super()
    this.userData = null
    this.destroyed = false
    this.written = []
  }

  write (data) {
    this.written.push(Buffer.from(data))
    return true
  }

  destroy (error) {
    this.destroyed = true
    if (error) throw error
  }

  pause () {}
  resume () {}
}

const tick = () => new Promise((resolve) => setImmediate(resolve))

async function mux () {
  const pipes = [new Pipe(), new Pipe()]
  const sides = pipes.map((pipe) => new Protomux(pipe))
  const steps = []
  async function exchange (what) {
    for (let more = true; more;) {
      more = false
      for (const from of [0, 1]) {
        for (const message of pipes[from].written.splice(0)) {
          more = true
          steps.push({ what, from, message: hex(message) })
          pipes[1 - from].emit('data', message)
          await tick()
        }
      }
    }
  }
  const make = (side, protocol, id) => side.createChannel({
    protocol, id, handshake: c.raw, messages: [{ encoding: c.raw }, { encoding: c.raw }]
  })
  const id = fill(9)
  const a = make(sides[0], 'hypercore/alpha', id)
  sides[1].pair({ protocol: 'hypercore/alpha', id }, () => {
    make(sides[1], 'hypercore/alpha', id).open(Buffer.from('there'))
  })
  a.open(Buffer.from('here'))
  await exchange('a channel is opened, and opened by the other side')
  make(sides[0], 'unknown', null).open(Buffer.alloc(0))
  await exchange('a channel is refused')
  a.messages[1].send(Buffer.from('one message'))
  await exchange('a message')
  const b = make(sides[0], 'other', null)
  sides[1].pair({ protocol: 'other' }, () => make(sides[1], 'other', null).open(Buffer.alloc(0)))
  b.open(Buffer.from('x'))
  await exchange('a second channel')
  sides[0].cork()
  a.messages[0].send(Buffer.from('first'))
  a.messages[1].send(Buffer.alloc(0))
  b.messages[0].send(Buffer.from('on another channel'))
  a.messages[0].send(Buffer.from('and back'))
  sides[0].uncork()
  await exchange('a batch')
  a.close()
  await exchange('a channel is closed')
  return steps
}

const node = (index, size, n) => ({ index, size, hash: fill(n) })

const upgrade = {
  start: 3,
  length: 300,
  nodes: [node(6, 20, 1), node(11, 70000, 2)],
  additionalNodes: [node(608, 0x100000000, 3)],
  signature: fill(5, 70)
}

const signer = { signature: 'ed25519', namespace: caps.DEFAULT_NAMESPACE, publicKey: fill(8) }
const manifest = {
  version: 1, hash: 'blake2b', allowPatch: false, quorum: 1, signers: [signer], prologue: null, linked: null, userData: null
}
const none = { block: null, hash: null, seek: null, upgrade: null, manifest: null, priority: 0 }

const cases = {
  sync: [
    { fork: 0, length: 0, remoteLength: 0, canUpgrade: true, uploading: true, downloading: true, hasManifest: false, allowPush: false },
    { fork: 2, length: 70000, remoteLength: 253, canUpgrade: false, uploading: false, downloading: true, hasManifest: true, allowPush: true }
  ],
  request: [
    { ...none, id: 1, fork: 0, block: { index: 5, nodes: 2 } },
    { ...none, id: 300, fork: 1, hash: { index: 1023, nodes: 0 }, seek: { bytes: 99999, padding: 8 } },
    { ...none, id: 2, fork: 0, block: { index: 9, nodes: 0 }, upgrade: { start: 3, length: 7 }, manifest: true, priority: 2 }
  ],
  cancel: [{ request: 7 }],
  data: [
    { ...none, request: 1, fork: 0, block: { index: 5, value: Buffer.from('a block'), nodes: [node(8, 3, 1)] } },
    { ...none, request: 2, fork: 1, hash: { index: 3, nodes: [node(3, 40, 4)] }, seek: { bytes: 9, nodes: [node(5, 9, 5)] } },
    { ...none, request: 3, fork: 0, upgrade, manifest },
    { ...none, request: 0, fork: 0, block: { index: 0, value: Buffer.alloc(0), nodes: [] }, upgrade }
  ],
  noData: [{ request: 3, reason: 0 }, { request: 260, reason: 2 }],
  want: [{ start: 0, length: 2097152, any: false }, { start: 64, length: 128, any: true }],
  unwant: [{ start: 2097152, length: 2097152, any: false }],
  bitfield: [{ start: 32, bitfield: new Uint32Array([0x80000001, 0, 0xffffffff]) }],
  range: [{ drop: false, start: 0, length: 1000 }, { drop: true, start: 70000, length: 1 }, { drop: true, start: 3, length: 2 }],
  extension: [{ name: 'hyperfs', message: Buffer.from('hello') }, { name: '', message: Buffer.alloc(0) }]
}

function messages () {
  const encoded = {}
  for (const [name, list] of Object.entries(cases)) encoded[name] = list.map((m) => hex(c.encode(wire[name], m)))
  return encoded
}

function bitfield () {
  const field = new Bitfield()
  const set = [0, 31, 32, 40, 255]
  for (const block of set) field.set(block, true)
  field.setRange(100, 200, true)
  const page = field.getBitfield(0).bitfield
  return { set, range: [100, 200], page0: hex(Buffer.from(page.buffer, page.byteOffset, 32)) }
}

async function main () {
  const handshake = noise()
  const key = fill(6)
  process.stdout.write(JSON.stringify({
    noise: handshake.result,
    stream: stream(handshake.tx, handshake.hash),
    capability: {
      key: hex(key),
      initiator: hex(caps.replicate(true, key, handshake.hash)),
      responder: hex(caps.replicate(false, key, handshake.hash)),
      handshakes: [true, false].map((seeks) => hex(c.encode(wire.handshake, { seeks, capability: fill(4) })))
    },
    mux: await mux(),
    messages: messages(),
    bitfield: bitfield()
  }, null, 1) + '\n')
}

main()
