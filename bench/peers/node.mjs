// SPDX-License-Identifier: MIT

// The rows of bench/rows.lua that are about tasks, in Node.js: async functions,
// and an AbortController where ctx has a context.
//
//	node --expose-gc node.mjs list
//	node --expose-gc node.mjs ROW [SCALE]
//
// A row prints one or more lines: name figure [live_bytes rss_bytes].

const GROUP_TASKS = 10;
const FAILING = 5;
const PARKED_TASKS = 1_000_000;

let scale = 1;
const scaled = (n) => Math.max(1, Math.floor(n * scale));
// Of processor time, all threads'.
const nanoseconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};

function print(name, spent, ops, ...bytes) {
  console.log([name, (spent / ops).toFixed(2), ...bytes].join(" "));
}

async function perOp(name, n, work) {
  n = scaled(n);
  await work(Math.max(1, Math.floor(n / 10)));
  const start = nanoseconds();
  await work(n);
  print(name, nanoseconds() - start, n);
}

// What errgroup.WithContext gives, of Node's own parts: a signal that follows
// the parent's, and that the first failure aborts.
class Group {
  #controller = new AbortController();
  #parent;
  #tasks = [];
  #first;
  #follow = () => this.#controller.abort(this.#parent.reason);

  constructor(parent) {
    this.#parent = parent;
    parent.addEventListener("abort", this.#follow);
  }

  get signal() {
    return this.#controller.signal;
  }

  go(task, ...args) {
    this.#tasks.push(task(...args).catch((error) => {
      this.#first ??= error;
      this.#controller.abort(error);
    }));
  }

  async wait() {
    await Promise.all(this.#tasks);
    this.#parent.removeEventListener("abort", this.#follow);
    return this.#first;
  }
}

const failure = new Error("the task failed");

function mustBe(want, got) {
  if (want !== got) throw got;
}

async function groupOfOne() {
  const parent = new AbortController().signal;
  const task = async () => {};
  await perOp("W7", 200_000, async (n) => {
    for (let i = 0; i < n; i++) {
      const group = new Group(parent);
      group.go(task);
      mustBe(undefined, await group.wait());
    }
  });
}

async function fanOut(name, start) {
  const parent = new AbortController().signal;
  await perOp(name, 20_000, async (n) => {
    for (let i = 0; i < n; i++) {
      const group = new Group(parent);
      for (let task = 0; task < GROUP_TASKS; task++) start(group, task);
      mustBe(failure, await group.wait());
    }
  });
}

async function yielding(signal, i) {
  await null; // lets the others have a turn
  if (i === FAILING) throw failure;
  signal.throwIfAborted();
}

const groupArguments = () =>
  fanOut("W8.args", (group, i) => group.go(yielding, group.signal, i));

const groupClosures = () =>
  fanOut("W8.closures", (group, i) =>
    group.go(async () => {
      await null;
      if (i === FAILING) throw failure;
      group.signal.throwIfAborted();
    }));

// The promise that a signal is aborted, which it does not offer by itself.
const aborted = (signal) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });

const groupParked = () =>
  fanOut("W8b", (group, i) =>
    group.go(async () => {
      await null;
      if (i === FAILING) throw failure;
      if (!group.signal.aborted) await aborted(group.signal);
    }));

function readMemory() {
  globalThis.gc();
  const { heapUsed, rss } = process.memoryUsage();
  return { live: heapUsed, resident: rss };
}

// All await one promise: a listener of each task's own would cost it more.
async function parked() {
  const n = scaled(PARKED_TASKS);
  const controller = new AbortController();
  const end = new Promise((resolve) => controller.signal.addEventListener("abort", resolve));
  let left = n;
  let over;
  const allOver = new Promise((resolve) => (over = resolve));
  const task = async () => {
    await end;
    if (--left === 0) over();
  };
  const before = readMemory();
  let start = nanoseconds();
  for (let i = 0; i < n; i++) task();
  let spent = nanoseconds() - start;
  const after = readMemory();
  const each = (key) => Math.floor((after[key] - before[key]) / n);
  print("W9.park", spent, n, each("live"), each("resident"));
  start = nanoseconds();
  controller.abort();
  await allOver;
  print("W9.drain", nanoseconds() - start, n);
  print("W9.peak", process.resourceUsage().maxRSS / 1024, 1);
}

const rows = {
  "W7": groupOfOne,
  "W8.closures": groupClosures,
  "W8.args": groupArguments,
  "W8b": groupParked,
  "W9": parked,
};

const [name, scaleText] = process.argv.slice(2);
if (name === "list") {
  console.log(Object.keys(rows).join("\n"));
} else if (rows[name]) {
  scale = Number(scaleText ?? 1);
  await rows[name]();
} else {
  console.error(`no row ${name}`);
  process.exitCode = 2;
}
