// SPDX-License-Identifier: MIT
// A collector for the spec of the exporter: node otlp_collector.js [FIRST STATUS]
// Prints "port NUMBER", then for each request "spans N" or "refused: why". With FIRST STATUS, the
// first request gets that, with Retry-After, and nothing is read from it.
const http = require('http')

let first = Number(process.argv[2] || 0)
const hex = (n) => new RegExp(`^[0-9a-f]{${n}}$`)

function check (ok, why) {
  if (!ok) throw new Error(why)
}

function checkValue (value) {
  const [kind, ...others] = Object.keys(value)
  const types = { stringValue: 'string', intValue: 'string', doubleValue: 'number', boolValue: 'boolean' }
  check(others.length === 0 && typeof value[kind] === types[kind], 'a value: ' + JSON.stringify(value))
}

function checkSpan (span) {
  check(hex(32).test(span.traceId) && hex(16).test(span.spanId), 'ids')
  check(span.parentSpanId === undefined || hex(16).test(span.parentSpanId), 'parent')
  check(typeof span.name === 'string' && Number.isInteger(span.kind), 'name, kind')
  check(/^\d{19}$/.test(span.startTimeUnixNano) && /^\d{19}$/.test(span.endTimeUnixNano), 'times')
  check(BigInt(span.startTimeUnixNano) <= BigInt(span.endTimeUnixNano), 'order of times')
  check(Number.isInteger(span.flags), 'flags')
  for (const each of span.attributes || []) checkValue(each.value)
}

function receive (request, text) {
  check(request.method === 'POST' && request.url === '/v1/traces', 'line')
  check(request.headers['content-type'] === 'application/json', 'content-type')
  check(request.headers.traceparent === undefined, 'it is traced itself')
  const spans = []
  for (const of of JSON.parse(text).resourceSpans) {
    check(Array.isArray(of.resource.attributes), 'resource')
    for (const scope of of.scopeSpans) spans.push(...scope.spans)
  }
  spans.forEach(checkSpan)
  return spans.length
}

const server = http.createServer((request, response) => {
  const parts = []
  request.on('data', (chunk) => parts.push(chunk))
  request.on('end', () => {
    response.setHeader('content-type', 'application/json')
    if (first) {
      response.writeHead(first, { 'retry-after': '0' }).end('{}')
      console.log('answered ' + first)
      first = 0
      return
    }
    try {
      console.log('spans ' + receive(request, Buffer.concat(parts).toString()))
      response.end('{"partialSuccess":{"rejectedSpans":"1"}}')
    } catch (error) {
      console.log('refused: ' + error.message)
      response.writeHead(400).end('{}')
    }
  })
})
server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port))
