// SPDX-License-Identifier: MIT
// A server that speaks just enough HTTP/2, frame by frame, to get into trouble:
// node frames.js FOLDER-WITH-CERTIFICATES/ TROUBLE. Prints "port NUMBER", then "stream" or "plain" for each
// request, and "idle" when the trouble of that name has been sent.
// The first connection answers its first request, and then the trouble comes; others always answer.
const fs = require('fs')
const tls = require('tls')

const [, , dir, trouble] = process.argv
const HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, GOAWAY = 7
const END_STREAM = 1, ACK = 1, END_HEADERS = 4

const numbers = (...list) => {
  const bytes = Buffer.alloc(4 * list.length)
  list.forEach((n, i) => bytes.writeUInt32BE(n, 4 * i))
  return bytes
}

const frame = (type, flags, stream, payload = Buffer.alloc(0)) => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const answer = (id) => Buffer.concat([
  frame(HEADERS, END_HEADERS, id, Buffer.from([0x88])), frame(0, END_STREAM, id, Buffer.from('ok')),
])

// What becomes of the second request, or of the first with "first".
const troubles = {
  goaway: (socket) => socket.end(frame(GOAWAY, 0, 0, numbers(1, 0))),
  'goaway and go on': (socket) => socket.write(frame(GOAWAY, 0, 0, numbers(1, 0))),
  'goaway behind it': (socket, id) => socket.end(frame(GOAWAY, 0, 0, numbers(id, 0))),
  refused: (socket, id) => socket.write(frame(RST_STREAM, 0, id, numbers(7))),
  'refused first': (socket, id) => socket.write(frame(RST_STREAM, 0, id, numbers(7))),
  failed: (socket, id) => socket.write(frame(RST_STREAM, 0, id, numbers(2))),
  end: (socket) => socket.end(),
  reset: (socket) => socket._parent.resetAndDestroy(),
  'wrong frame': (socket) => socket.end(frame(0, 0, 0, Buffer.from('data of no stream'))),
  'HTTP/1.1 required': (socket, id) => socket.write(frame(RST_STREAM, 0, id, numbers(13))),
}

let connections = 0

function speak(socket) {
  let data = Buffer.alloc(0), began = false, requests = 0
  const first = connections++ === 0
  const hears = (type, flags, id) => {
    if (type === SETTINGS && !(flags & ACK)) socket.write(frame(SETTINGS, ACK, 0))
    if (type !== HEADERS) return
    console.log('stream')
    requests++
    if (first && requests === (trouble === 'refused first' ? 1 : 2)) return troubles[trouble](socket, id)
    socket.write(answer(id))
    if (!first || trouble !== 'idle') return
    socket.end(frame(GOAWAY, 0, 0, numbers(id, 0)), () => console.log('idle'))
  }
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    data = Buffer.concat([data, chunk])
    if (!began && data.length < 24) return
    if (!began) socket.write(frame(SETTINGS, 0, 0))
    if (!began) data = data.subarray(24)
    began = true
    while (data.length >= 9 && data.length >= 9 + data.readUIntBE(0, 3)) {
      const length = data.readUIntBE(0, 3)
      const [type, flags, id] = [data[3], data[4], data.readUInt32BE(5)]
      data = data.subarray(9 + length)
      hears(type, flags, id)
    }
  })
}

function speakPlainly(socket) {
  socket.on('error', () => {})
  socket.on('data', () => {
    console.log('plain')
    socket.end('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok')
  })
}

const server = tls.createServer({
  key: fs.readFileSync(`${dir}good.key`), cert: fs.readFileSync(`${dir}good.pem`),
  ALPNProtocols: ['h2', 'http/1.1'],
}, (socket) => (socket.alpnProtocol === 'h2' ? speak(socket) : speakPlainly(socket)))
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`))
process.stdin.resume().on('end', () => process.exit())
