// SPDX-License-Identifier: MIT
// Servers for the specs of the HTTP client: node web_server.js [FOLDER WITH CERTIFICATES/]
// Prints "port NAME NUMBER" for each, then "ready", then what happens.
const fs = require('fs')
const http = require('http')
const http2 = require('http2')
const https = require('https')

const dir = process.argv[2]
const say = (...words) => console.log(words.join(' '))

// The same for HTTP/1 and HTTP/2.
function answer(request, response) {
  const path = request.url.split('?')[0]
  if (request.httpVersionMajor < 2) request.on('aborted', () => say('aborted', path))
  if (path === '/hang') {
    say('hanging')
  } else if (path === '/half') {
    response.write('half')
    say('halved')
  } else if (path === '/reset') {
    response.write('half')
    setImmediate(() => (request.stream ? request.stream.close(2) : request.socket.resetAndDestroy()))
  } else if (path === '/late') { // and then an answer that nobody has asked for
    response.on('finish', () => setImmediate(() => {
      request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', () => say('late'))
    }))
    response.end('in time')
  } else if (path === '/large') {
    response.end(Buffer.alloc(8 * 1024 * 1024, 'x'))
  } else if (path === '/peer') {
    const peer = request.socket.getPeerCertificate && request.socket.getPeerCertificate()
    response.end((peer && peer.subject && peer.subject.CN) || 'nobody')
  } else {
    const parts = []
    request.on('data', (chunk) => parts.push(chunk))
    request.on('end', () => {
      response.setHeader('x-method', request.method)
      response.setHeader('x-version', request.httpVersion)
      response.setHeader('set-cookie', ['a=1', 'b=2'])
      response.end(Buffer.concat(parts))
    })
  }
}

const servers = { http: http.createServer(answer) }
if (dir) {
  const pair = (name) => ({
    key: fs.readFileSync(`${dir}${name}.key`), cert: fs.readFileSync(`${dir}${name}.pem`),
  })
  for (const name of ['good', 'wrong', 'expired', 'self']) {
    servers[name] = https.createServer(pair(name), answer)
  }
  servers.client = https.createServer({
    ...pair('good'), ca: fs.readFileSync(`${dir}ca.pem`), requestCert: true,
    rejectUnauthorized: true,
  }, answer)
  servers.http2 = http2.createSecureServer({ ...pair('good'), allowHTTP1: true }, answer)
  servers.http2.on('session', (session) => {
    say('session')
    session.on('close', () => say('end of session'))
    session.on('stream', (stream, headers) => {
      stream.on('aborted', () => say('aborted', headers[':path']))
      stream.on('error', () => {})
    })
  })
}

let left = Object.keys(servers).length
for (const [name, server] of Object.entries(servers)) {
  server.listen(0, '127.0.0.1', () => {
    say('port', name, server.address().port)
    left -= 1
    if (left === 0) say('ready')
  })
}
