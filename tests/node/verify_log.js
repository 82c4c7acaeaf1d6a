'use strict'
// Checks a hyperfs log with Hypercore's own code. Input: a JSON file with
//   folder     the log's folder (files blocks, tree, heads)
//   publicKey  hex
//   proofs     [{ request, proof }] as hyperfs made them; bytes as hex
// Prints what was found as JSON; exits with 1 and the reason where anything differs.

const assert = require('assert')
const fs = require('fs')
const path = require('path')
const crypto = require('hypercore-crypto')
const Verifier = require('hypercore/lib/verifier')
const { MerkleTree, MerkleTreeBatch } = require('hypercore/lib/merkle-tree')

const input = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
const read = (name) => fs.readFileSync(path.join(input.folder, name))
const blocksFile = read('blocks')
const treeFile = read('tree')

function readHead() {
  const heads = read('heads')
  const slots = [0, 4096].map((at) => heads.subarray(at, at + 512))
  assert(slots[0].equals(slots[1]), 'both head slots agree at rest')
  const slot = slots[0]
  assert.strictEqual(slot.toString('latin1', 0, 8), 'hfshead\n')
  assert(crypto.hash(slot.subarray(0, 480)).equals(slot.subarray(480)), 'checksum of the slot')
  const number = (at) => Number(slot.readBigUInt64LE(at))
  return {
    fork: number(24),
    length: number(32),
    byteLength: number(40),
    treeHash: slot.subarray(48, 80),
    signature: slot.subarray(80, 144)
  }
}

function storedNode(index) {
  const at = 40 * index
  return {
    index,
    size: Number(treeFile.readBigUInt64LE(at + 32)),
    hash: treeFile.subarray(at, at + 32)
  }
}

const storage = {
  read: () => ({ getTreeNode: async (index) => storedNode(index), tryFlush() {}, destroy() {} })
}

function plain(value) {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

async function main() {
  const head = readHead()
  const manifest = Verifier.defaultSignerManifest(Buffer.from(input.publicKey, 'hex'))
  const key = Verifier.manifestHash(manifest)
  const verifier = Verifier.fromManifest(manifest)

  // The tree, built anew from nothing but the blocks' bytes.
  const empty = { fork: head.fork, roots: [], length: 0, byteLength: 0, signature: null, prologue: null, storage }
  const batch = new MerkleTreeBatch(empty)
  let offset = 0
  for (let i = 0; i < head.length; i++) {
    const { size } = storedNode(2 * i)
    batch.append(blocksFile.subarray(offset, offset + size))
    offset += size
  }
  assert.strictEqual(offset, head.byteLength, 'byte length')
  assert(batch.hash().equals(head.treeHash), 'tree hash')
  for (const node of batch.nodes) {
    const stored = storedNode(node.index)
    assert(stored.hash.equals(node.hash) && stored.size === node.size, 'node ' + node.index)
  }

  const stored = (signature) => verifier.assemble([{ signer: 0, signature, patch: 0, nodes: null }])
  assert(verifier.verify(batch, stored(head.signature)), 'signature')
  const flipped = Buffer.from(head.signature)
  flipped[5] ^= 1
  assert(!verifier.verify(batch, stored(flipped)), 'a flipped signature is refused')
  batch.fork++
  assert(!verifier.verify(batch, stored(head.signature)), 'another fork is refused')
  batch.fork--

  // Hypercore answers the same requests with the same bytes.
  const session = { ...empty, roots: batch.roots, length: batch.length, byteLength: batch.byteLength }
  session.signature = head.signature
  for (const { request, proof } of input.proofs) {
    const made = await (await MerkleTree.proof(session, storage.read(), request)).settle()
    delete made.manifest
    if (made.block) made.block.value = proof.block.value
    assert.deepStrictEqual(plain(made), proof, JSON.stringify(request))
  }

  console.log(
    JSON.stringify({
      key: key.toString('hex'),
      discoveryKey: crypto.discoveryKey(key).toString('hex'),
      treeHash: batch.hash().toString('hex'),
      length: head.length,
      fork: head.fork,
      proofs: input.proofs.length
    })
  )
}

main().catch((error) => {
  console.error(error.stack)
  process.exit(1)
})
