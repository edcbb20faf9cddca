-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "ctx"
version = "scm-1"

source = {
  url = "git+https://github.com/ctx-lua/ctx.git",
}

description = {
  summary = "Contexts for Lua: cancellation, deadlines, task groups and clean shutdown",
  detailed = [[
    What Go servers have, for Lua 5.4 servers on libuv: a tree of contexts that carries
    cancellation, deadlines and request values down every call, groups of tasks that fail and
    stop together, and a shutdown that loses nothing.
  ]],
  homepage = "https://github.com/ctx-lua/ctx",
  license = "MIT",
  labels = { "async", "concurrency", "luv", "context" },
}

supported_platforms = { "unix" }

dependencies = {
  "lua >= 5.4, < 5.6",
  "luv >= 1.44",
}

-- .ci/walls compares these lists with the tree.
build = {
  type = "builtin",
  modules = {
    ["ctx.core"] = {
      sources = {
        "csrc/core/any.c",
        "csrc/core/cancel.c",
        "csrc/core/context.c",
        "csrc/core/deadline.c",
        "csrc/core/group.c",
        "csrc/core/report.c",
        "csrc/core/semaphore.c",
        "csrc/core/share.c",
        "csrc/core/tree.c",
        "csrc/core/watch.c",
        "csrc/lua/after.c",
        "csrc/lua/alarm.c",
        "csrc/lua/cancel.c",
        "csrc/lua/context.c",
        "csrc/lua/derive.c",
        "csrc/lua/enter.c",
        "csrc/lua/failure.c",
        "csrc/lua/group.c",
        "csrc/lua/group_errors.c",
        "csrc/lua/host.c",
        "csrc/lua/live.c",
        "csrc/lua/queue.c",
        "csrc/lua/record.c",
        "csrc/lua/results.c",
        "csrc/lua/sched.c",
        "csrc/lua/semaphore.c",
        "csrc/lua/state.c",
        "csrc/lua/task.c",
        "csrc/lua/traceback.c",
        "csrc/lua/turn.c",
        "csrc/lua/value.c",
        "csrc/lua/wait.c",
        "csrc/lua/where.c",
        "csrc/lua/why.c",
      },
      incdirs = { "csrc/include" },
      libraries = { "pthread" },
    },
    ["ctx.breaker"] = "lua/ctx/breaker.lua",
    ["ctx.channel"] = "lua/ctx/channel.lua",
    ["ctx.channel.returned"] = "lua/ctx/channel/returned.lua",
    ["ctx.channel.select"] = "lua/ctx/channel/select.lua",
    ["ctx.errgroup"] = "lua/ctx/errgroup.lua",
    ["ctx.errors"] = "lua/ctx/errors.lua",
    ctx = "lua/ctx/init.lua",
    ["ctx.fifo"] = "lua/ctx/fifo.lua",
    ["ctx.line"] = "lua/ctx/line.lua",
    ["ctx.loop"] = "lua/ctx/loop.lua",
    ["ctx.want"] = "lua/ctx/want.lua",
    ["ctx.mutex"] = "lua/ctx/mutex.lua",
    ["ctx.owner"] = "lua/ctx/owner.lua",
    ["ctx.pool"] = "lua/ctx/pool.lua",
    ["ctx.propagate"] = "lua/ctx/propagate.lua",
    ["ctx.propagate.baggage"] = "lua/ctx/propagate/baggage.lua",
    ["ctx.propagate.deadline"] = "lua/ctx/propagate/deadline.lua",
    ["ctx.fields"] = "lua/ctx/fields.lua",
    ["ctx.text"] = "lua/ctx/text.lua",
    ["ctx.propagate.ids"] = "lua/ctx/propagate/ids.lua",
    ["ctx.propagate.span"] = "lua/ctx/propagate/span.lua",
    ["ctx.propagate.trace"] = "lua/ctx/propagate/trace.lua",
    ["ctx.registry"] = "lua/ctx/registry.lua",
    ["ctx.report"] = "lua/ctx/report.lua",
    ["ctx.retry"] = "lua/ctx/retry.lua",
    ["ctx.semaphore"] = "lua/ctx/semaphore.lua",
    ["ctx.shutdown"] = "lua/ctx/shutdown.lua",
    ["ctx.shutdown.phases"] = "lua/ctx/shutdown/phases.lua",
    ["ctx.shutdown.report"] = "lua/ctx/shutdown/report.lua",
    ["ctx.shutdown.workers"] = "lua/ctx/shutdown/workers.lua",
    ["ctx.signal"] = "lua/ctx/signal.lua",
    ["ctx.singleflight"] = "lua/ctx/singleflight.lua",
    ["ctx.testing"] = "lua/ctx/testing.lua",
    ["ctx.uv"] = "lua/ctx/uv.lua",
    ["ctx.uv.codes"] = "lua/ctx/uv/codes.lua",
    ["ctx.uv.dial"] = "lua/ctx/uv/dial.lua",
    ["ctx.uv.directory"] = "lua/ctx/uv/directory.lua",
    ["ctx.uv.dns"] = "lua/ctx/uv/dns.lua",
    ["ctx.uv.failure"] = "lua/ctx/uv/failure.lua",
    ["ctx.uv.fs"] = "lua/ctx/uv/fs.lua",
    ["ctx.uv.group"] = "lua/ctx/uv/group.lua",
    ["ctx.uv.host"] = "lua/ctx/uv/host.lua",
    ["ctx.uv.inbox"] = "lua/ctx/uv/inbox.lua",
    ["ctx.uv.launch"] = "lua/ctx/uv/launch.lua",
    ["ctx.uv.listener"] = "lua/ctx/uv/listener.lua",
    ["ctx.uv.path"] = "lua/ctx/uv/path.lua",
    ["ctx.uv.process"] = "lua/ctx/uv/process.lua",
    ["ctx.uv.reading"] = "lua/ctx/uv/reading.lua",
    ["ctx.uv.spawn"] = "lua/ctx/uv/spawn.lua",
    ["ctx.uv.stream"] = "lua/ctx/uv/stream.lua",
    ["ctx.uv.stream_class"] = "lua/ctx/uv/stream_class.lua",
    ["ctx.uv.threads"] = "lua/ctx/uv/threads.lua",
    ["ctx.uv.udp"] = "lua/ctx/uv/udp.lua",
    ["ctx.uv.watch"] = "lua/ctx/uv/watch.lua",
    ["ctx.uv.work"] = "lua/ctx/uv/work.lua",
    ["ctx.uv.writing"] = "lua/ctx/uv/writing.lua",
    ["ctx.waitgroup"] = "lua/ctx/waitgroup.lua",
    ["ctx.why"] = "lua/ctx/why.lua",
  },
  copy_directories = { "docs", "examples", "types" },
}
