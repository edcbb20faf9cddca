/* SPDX-License-Identifier: MIT */
/* The benchmark rows of bench/rows.lua, done from C over the core alone.
 *
 *   bench_core list          the names of the rows, one a line
 *   bench_core ROW [SCALE]   runs one row; SCALE (1 by default) multiplies its size
 *
 * A row prints one or more lines: name ns_per_op [live_bytes rss_bytes]. Every context is released,
 * though an idle one need not be: a program does not know which of its contexts were watched. */

#include <ctx/ctx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S           UINT64_C(1000000000)
#define REQUEST_TIMEOUT_NS (10 * NS_PER_S)

#define DERIVES 10000000
#define READS   50000000

#define CHAIN_DEPTH 100
/* Several chains are derived, then all are cancelled: one cancel is too short for the clock. Few
 * enough that the nodes stay in the cache. */
#define CHAINS_PER_BATCH 20
#define CHAIN_BATCHES    2000

#define WIDE_CHILDREN 100000
#define WIDE_ROUNDS   20

#define PENDING_TIMEOUTS 1000000

typedef struct {
  ctx_t c;
  ctx_watcher_t watcher;
} node_t;

static ctx_tree_t tree;
static double scale = 1;
static size_t allocated_bytes; /* by the core, through the host */
static size_t calls;           /* of watchers */

/* -- The host: the clocks of the libuv host, and a loop that is turned by hand ------------------ */

static uint64_t read_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t host_now(void* data) {
  (void)data;
  return read_clock(CLOCK_MONOTONIC);
}

#ifdef CLOCK_MONOTONIC_COARSE
static uint64_t host_now_coarse(void* data) {
  (void)data;
  return read_clock(CLOCK_MONOTONIC_COARSE);
}
#else
#define host_now_coarse host_now
#endif

static void host_wake_at(void* data, uint64_t at_ns) {
  (void)data;
  (void)at_ns;
}

static void* host_alloc(void* data, void* block, size_t old_size, size_t new_size) {
  (void)data;
  allocated_bytes += new_size - old_size;
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  return realloc(block, new_size);
}

/* Not const, and called through: else the compiler could do less than the core must. */
static ctx_host_t host = {
    .now = host_now,
    .now_coarse = host_now_coarse,
    .wake_at = host_wake_at,
    .alloc = host_alloc,
};

/* -- Measuring -------------------------------------------------------------------------------- */

static void fail(const char* message) {
  fprintf(stderr, "bench_core: %s\n", message);
  exit(2);
}

static void* allocate(size_t count, size_t size) {
  void* block = calloc(count, size);
  if (block == NULL) fail("out of memory");
  memset(block, 1, count * size); /* pages touched */
  memset(block, 0, count * size); /* zeroed: never registered, never started */
  return block;
}

static size_t scaled(size_t n) {
  size_t result = (size_t)((double)n * scale);
  return result > 0 ? result : 1;
}

/* The process's own processor time: what the machine does meanwhile for others does not count. */
static uint64_t spent_so_far_ns(void) {
  return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static double ns_since(uint64_t start_ns) {
  return (double)(spent_so_far_ns() - start_ns);
}

static void print_row(const char* name, double spent_ns, size_t ops) {
  printf("%s %.2f\n", name, spent_ns / (double)ops);
}

typedef void (*work_fn)(ctx_t* parent, size_t n);

/* Prints the time of one operation; work(parent, n) does n of them, below a live parent. */
static void per_op(const char* name, size_t n, work_fn work) {
  ctx_t parent;
  ctx_with_cancel(&parent, ctx_background(&tree));
  n = scaled(n);
  work(&parent, n / 10 + 1); /* warm */
  uint64_t start_ns = spent_so_far_ns();
  work(&parent, n);
  print_row(name, ns_since(start_ns), n);
  ctx_release(&parent);
}

static void must_be_done(ctx_t* c) {
  if (ctx_err(c) == 0) fail("a cancelled context is live");
}

static void on_done(ctx_watcher_t* w) {
  (void)w;
  calls++;
}

static void watch(ctx_t* c, ctx_watcher_t* w) {
  if (ctx_watch(c, w, on_done) != 0) fail("out of memory");
}

static void run_until(size_t wanted_calls) {
  while (calls < wanted_calls) ctx_tree_run(&tree);
}

/* -- W1, W2: one context ---------------------------------------------------------------------- */

static uint64_t in_a_while(uint64_t timeout_ns) {
  return ctx_time_add(ctx_now(&tree), timeout_ns);
}

static void cancel_work(ctx_t* parent, size_t n) {
  for (size_t i = 0; i < n; i++) {
    ctx_t c;
    ctx_with_cancel(&c, parent);
    ctx_cancel(&c, NULL);
    ctx_release(&c);
  }
}

static void timeout_work(ctx_t* parent, size_t n) {
  for (size_t i = 0; i < n; i++) {
    ctx_t c;
    ctx_with_deadline(&c, parent, in_a_while(REQUEST_TIMEOUT_NS), NULL);
    ctx_cancel(&c, NULL);
    ctx_release(&c);
  }
}

static void armed_work(ctx_t* parent, size_t n) {
  for (size_t i = 0; i < n; i++) {
    node_t node = {0};
    ctx_with_deadline(&node.c, parent, in_a_while(REQUEST_TIMEOUT_NS), NULL);
    watch(&node.c, &node.watcher);
    ctx_unwatch(&node.watcher);
    ctx_cancel(&node.c, NULL);
    ctx_release(&node.c);
  }
}

static void with_cancel(void) {
  per_op("W1", DERIVES, cancel_work);
}
static void with_timeout_idle(void) {
  per_op("W2.idle", DERIVES, timeout_work);
}
static void with_timeout_armed(void) {
  per_op("W2.armed", DERIVES, armed_work);
}

/* -- W3, W4: a deep tree and a wide one -------------------------------------------------------- */

static void derive_chain(node_t* nodes, bool armed) {
  ctx_t* above = ctx_background(&tree);
  for (size_t i = 0; i < CHAIN_DEPTH; i++) {
    ctx_with_cancel(&nodes[i].c, above);
    above = &nodes[i].c;
  }
  if (armed) watch(above, &nodes[CHAIN_DEPTH - 1].watcher);
}

/* Children before their parents, outside the figures. */
static void release_all(node_t* nodes, size_t n) {
  while (n > 0) ctx_release(&nodes[--n].c);
}

/* Asks for the leaf's error after the cancel: where a cancellation is carried lazily, that is when
 * it arrives. */
static void chain(const char* derive_name, const char* cancel_name, bool armed) {
  static node_t nodes[CHAINS_PER_BATCH][CHAIN_DEPTH];
  double derive_ns = 0, cancel_ns = 0;
  size_t batches = scaled(CHAIN_BATCHES);
  for (size_t batch = 0; batch < batches; batch++) {
    uint64_t start_ns = spent_so_far_ns();
    for (size_t i = 0; i < CHAINS_PER_BATCH; i++) derive_chain(nodes[i], armed);
    derive_ns += ns_since(start_ns);
    start_ns = spent_so_far_ns();
    for (size_t i = 0; i < CHAINS_PER_BATCH; i++) {
      ctx_cancel(&nodes[i][0].c, NULL);
      must_be_done(&nodes[i][CHAIN_DEPTH - 1].c);
    }
    cancel_ns += ns_since(start_ns);
    if (armed) run_until((batch + 1) * CHAINS_PER_BATCH);
    for (size_t i = 0; i < CHAINS_PER_BATCH; i++) release_all(nodes[i], CHAIN_DEPTH);
  }
  print_row(derive_name, derive_ns, batches * CHAINS_PER_BATCH * CHAIN_DEPTH);
  print_row(cancel_name, cancel_ns, batches * CHAINS_PER_BATCH * CHAIN_DEPTH);
}

static void chain_idle(void) {
  chain("W3.idle.derive", "W3.idle.cancel", false);
}
static void chain_armed(void) {
  chain("W3.armed.derive", "W3.armed.cancel", true);
}

/* Asks every child for its error after the cancel, for the same reason as `chain`. */
static void wide_idle(void) {
  double derive_ns = 0, cancel_ns = 0;
  size_t n = scaled(WIDE_CHILDREN);
  node_t* children = allocate(n, sizeof(*children));
  for (size_t round = 0; round < WIDE_ROUNDS; round++) {
    ctx_t parent;
    ctx_with_cancel(&parent, ctx_background(&tree));
    uint64_t start_ns = spent_so_far_ns();
    for (size_t i = 0; i < n; i++) ctx_with_cancel(&children[i].c, &parent);
    derive_ns += ns_since(start_ns);
    start_ns = spent_so_far_ns();
    ctx_cancel(&parent, NULL);
    for (size_t i = 0; i < n; i++) must_be_done(&children[i].c);
    cancel_ns += ns_since(start_ns);
    release_all(children, n);
    ctx_release(&parent);
  }
  free(children);
  print_row("W4.idle.derive", derive_ns, n * WIDE_ROUNDS);
  print_row("W4.idle.cancel", cancel_ns, n * WIDE_ROUNDS);
}

/* cancel: the call alone. run: the call, and until the watcher of each child was called. */
static void wide_armed(void) {
  double derive_ns = 0, cancel_ns = 0, run_ns = 0;
  size_t n = scaled(WIDE_CHILDREN);
  node_t* children = allocate(n, sizeof(*children));
  for (size_t round = 0; round < WIDE_ROUNDS; round++) {
    ctx_t parent;
    ctx_with_cancel(&parent, ctx_background(&tree));
    uint64_t start_ns = spent_so_far_ns();
    for (size_t i = 0; i < n; i++) {
      ctx_with_cancel(&children[i].c, &parent);
      watch(&children[i].c, &children[i].watcher);
    }
    derive_ns += ns_since(start_ns);
    start_ns = spent_so_far_ns();
    ctx_cancel(&parent, NULL);
    cancel_ns += ns_since(start_ns);
    run_until((round + 1) * n);
    run_ns += ns_since(start_ns);
    release_all(children, n);
    ctx_release(&parent);
  }
  free(children);
  print_row("W4.armed.derive", derive_ns, n * WIDE_ROUNDS);
  print_row("W4.armed.cancel", cancel_ns, n * WIDE_ROUNDS);
  print_row("W4.armed.run", run_ns, n * WIDE_ROUNDS);
}

/* -- W5: reading ------------------------------------------------------------------------------- */

static void err_work(ctx_t* parent, size_t n) {
  ctx_t c;
  ctx_with_deadline(&c, parent, in_a_while(86400 * NS_PER_S), NULL);
  for (size_t i = 0; i < n; i++) {
    if (ctx_err(&c) != 0) fail("a live context is done");
  }
  ctx_release(&c);
}

/* What ctx_err must pay for in any case: the host's clock, called as the core calls it. */
static void clock_work(ctx_t* parent, size_t n) {
  ctx_host_t* volatile asked = &host;
  (void)parent;
  for (size_t i = 0; i < n; i++) {
    if (asked->now_coarse(NULL) == 0) fail("no clock");
  }
}

static void err_live(void) {
  per_op("W5", READS, err_work);
  per_op("W5.clock", READS, clock_work);
}

/* -- W10: a million timeouts open at once -------------------------------------------------------- */

/* 0 where there is no /proc. */
static size_t resident_bytes(void) {
  unsigned long size = 0, resident = 0;
  FILE* file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%lu %lu", &size, &resident) != 2) resident = 0;
  fclose(file);
  return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* The deadlines lie spread over a minute, in no order; equal ones would spare a heap its work. */
static uint64_t timeout_ns_of(size_t i) {
  return 60 * NS_PER_S + i * 7919 % 60000 * (NS_PER_S / 1000);
}

static node_t* open_request(ctx_t* parent, size_t i, bool armed) {
  node_t* node = malloc(armed ? sizeof(node_t) : sizeof(ctx_t));
  if (node == NULL) fail("out of memory");
  ctx_with_deadline(&node->c, parent, in_a_while(timeout_ns_of(i)), NULL);
  if (armed) {
    node->watcher = (ctx_watcher_t){0};
    watch(&node->c, &node->watcher);
  }
  return node;
}

static void end_request(node_t* node, bool armed) {
  if (armed) ctx_unwatch(&node->watcher);
  ctx_cancel(&node->c, NULL);
  ctx_release(&node->c);
  free(node);
}

/* A request allocates its context, as it would allocate itself; the table of requests is no part of
 * the bytes. */
static void pending(const char* name, bool armed) {
  size_t n = scaled(PENDING_TIMEOUTS);
  size_t size = armed ? sizeof(node_t) : sizeof(ctx_t);
  node_t** requests = allocate(n, sizeof(*requests));
  ctx_t parent;
  ctx_with_cancel(&parent, ctx_background(&tree));
  size_t allocated_before = allocated_bytes, resident_before = resident_bytes();
  uint64_t start_ns = spent_so_far_ns();
  for (size_t i = 0; i < n; i++) requests[i] = open_request(&parent, i, armed);
  double spent_ns = ns_since(start_ns);
  size_t live = n * size + allocated_bytes - allocated_before;
  size_t resident = resident_bytes() - resident_before;
  start_ns = spent_so_far_ns();
  for (size_t i = 0; i < n; i++) end_request(requests[i], armed);
  spent_ns += ns_since(start_ns);
  ctx_release(&parent);
  free(requests);
  printf("%s %.2f %zu %zu\n", name, spent_ns / (double)n, live / n, resident / n);
}

static void pending_idle(void) {
  pending("W10.idle", false);
}
static void pending_armed(void) {
  pending("W10.armed", true);
}

/* -- The rows ---------------------------------------------------------------------------------- */

static const struct {
  const char* name;
  void (*run)(void);
} rows[] = {
    {"W1", with_cancel},
    {"W2.idle", with_timeout_idle},
    {"W2.armed", with_timeout_armed},
    {"W3.idle", chain_idle},
    {"W3.armed", chain_armed},
    {"W4.idle", wide_idle},
    {"W4.armed", wide_armed},
    {"W5", err_live},
    {"W10.idle", pending_idle},
    {"W10.armed", pending_armed},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static int list_rows(void) {
  for (size_t i = 0; i < ROW_COUNT; i++) puts(rows[i].name);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 2) fail("usage: bench_core list | ROW [SCALE]");
  if (strcmp(argv[1], "list") == 0) return list_rows();
  if (argc > 2) scale = strtod(argv[2], NULL);
  if (!(scale > 0)) fail("SCALE is a positive number");
  ctx_tree_init(&tree, &host, NULL);
  for (size_t i = 0; i < ROW_COUNT; i++) {
    if (strcmp(rows[i].name, argv[1]) == 0) {
      rows[i].run();
      ctx_tree_close(&tree);
      return 0;
    }
  }
  fail("no such row");
}
