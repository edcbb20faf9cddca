// SPDX-License-Identifier: MIT
// Node's fetch against web_service.lua. Usage: node fetch.mjs URL
import assert from "node:assert/strict";

const base = process.argv[2];

assert.equal(await (await fetch(`${base}/`)).text(), "hello");

const head = await fetch(`${base}/`, { method: "HEAD" });
assert.equal(head.headers.get("content-length"), "5");

const many = await Promise.all(
  Array.from({ length: 50 }, async () => (await fetch(`${base}/slow?ms=5`)).text()));
assert.ok(many.every((text) => text === "at last"));

const counted = await fetch(`${base}/count`, { method: "POST", body: "x".repeat(1000000) });
assert.equal(await counted.text(), "1000000");

// An upload whose length nobody knows, while the answer comes already.
const pieces = new ReadableStream({
  start(controller) { this.left = 200; },
  pull(controller) {
    if (this.left-- === 0) return controller.close();
    controller.enqueue(new TextEncoder().encode("y".repeat(1000)));
  },
});
const echo = await fetch(`${base}/echo`, { method: "POST", body: pieces, duplex: "half" });
assert.equal(await echo.text(), "y".repeat(200000));

const aborter = new AbortController();
const stream = await fetch(`${base}/stream?size=1000&n=100000000`, { signal: aborter.signal });
const reader = stream.body.getReader();
assert.ok((await reader.read()).value.length > 0);
aborter.abort();
await assert.rejects(reader.read(), { name: "AbortError" });

// Not by AbortSignal.timeout: Node 18 may collect that before it fires.
const late = new AbortController();
setTimeout(() => late.abort(), 300);
await assert.rejects(fetch(`${base}/wait`, { signal: late.signal }), { name: "AbortError" });

assert.equal(await (await fetch(`${base}/`)).text(), "hello");
console.log("all is well");
