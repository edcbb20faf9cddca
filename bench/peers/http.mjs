// SPDX-License-Identifier: MIT
// W11 for Node: answers each request under a deadline of its own.
//
//   node bench/peers/http.mjs PORT

import http from "node:http";

const server = http.createServer((req, res) => {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), 5000);
  if (!deadline.signal.aborted) {
    res.setHeader("Content-Type", "text/plain");
    res.end("hello, world\n");
  }
  clearTimeout(timer);
});

server.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
