-- SPDX-License-Identifier: MIT
-- Cause: each module of ctx.uv checked its arguments by its own predicates, and what was checked
-- was not what was used: a descriptor given as 2.0 became /dev/null, a variable was cut at its zero
-- byte, and 2^32 + 1 became descriptor 1. Cure: one set of rules, which hand back the value to use.
-- What does not fit raises at the caller's line; what only the system can judge is an outcome.
local annotations = require "spec.docs.annotations"
local ctx = require "ctx"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local overview = require "spec.docs.overview"
local uv = require "ctx.uv"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/.."
local _, order = annotations.all(top)

local run, raises = loopback.run, misuse.raises
local NAN, BIG, HUGE = 0 / 0, 2 ^ 32 + 1, 1e15

--- Each function of a class whose name fits, and the names of its parameters; of a function of the
--- module, without the context, which comes first.
local function functions_of(class, pattern)
  return coroutine.wrap(function()
    for _, entry in ipairs(order) do
      if entry.class == class and entry.parameters and entry.key:find(pattern) then
        local names = {}
        for i, part in ipairs(overview.parameters(entry)) do names[i] = part.name end
        if not entry.method then table.remove(names, 1) end
        coroutine.yield(entry.key, names)
      end
    end
  end)
end

--- The name of an option: of several cases of one, the keys differ behind it.
local function option(key)
  return "options." .. key:match("^[%w_]+")
end

describe("ctx.uv refuses at the caller's line", function()
  it("options of sockets", function()
    run(function(root)
      for key, each in pairs {
        idle = { idle = HUGE }, ["idle 2"] = { idle = NAN }, high_water = { high_water = 1.5 },
        bind = { bind = "127.0.0.1\0" }, ["bind 2"] = { bind = "::1\0" }, family = { family = "x" },
        min_share = { min_share = 1e300 }, resolve = { resolve = {} },
      } do
        raises(function() uv.connect(root, "127.0.0.1", 9, each) end, option(key))
      end
      for key, each in pairs {
        backlog = { backlog = 1e18 }, ["backlog 2"] = { backlog = 0.5 },
        ipv6only = { ipv6only = 1 }, reuseport = { reuseport = "yes" },
      } do
        raises(function() uv.listen("127.0.0.1", 0, each) end, option(key))
      end
    end)
  end)

  it("ports and descriptors that the system would cut", function()
    run(function(root)
      for _, port in ipairs { BIG, 70000, -1, 1.5, "80" } do
        raises(function() uv.connect(root, "127.0.0.1", port) end, "port")
        raises(function() uv.listen("127.0.0.1", port) end, "port")
        raises(function() uv.udp("127.0.0.1", port) end, "port")
        raises(function() uv.getnameinfo(root, { ip = "::1", port = port }) end, "address.port")
      end
      for _, fd in ipairs { BIG, -1, 0.5, "1", NAN } do
        raises(function() uv.open(fd) end, "fd")
        raises(function() uv.listen_fd(fd) end, "fd")
        raises(function() uv.poll(root, fd) end, "fd")
        raises(function() uv.fs_close(root, fd) end, "fd")
        raises(function() uv.fs_read(root, fd, 1) end, "fd")
        raises(function() uv.fs_sendfile(root, 0, fd, 0, 1) end, "fd")
      end
    end)
  end)

  it("what is not a stream of luv's, or is closed", function()
    local timer, udp, closed = luv.new_timer(), luv.new_udp(), luv.new_tcp()
    closed:close()
    for _, handle in ipairs { timer, udp, closed, io.stdout, {}, 5 } do
      raises(function() uv.stream(handle) end, "handle: luv's stream, open, expected")
    end
    timer:close()
    udp:close()
  end)

  it("arguments of streams", function()
    run(function(root)
      local one, other = loopback.pair(root)
      for _, ms in ipairs { HUGE, NAN, -1, 0, "5" } do
        raises(function() one:set_idle(ms) end, "set_idle", "ms")
      end
      raises(function() one:read_exactly(root, 1.5) end, "n: a whole number")
      raises(function() one:read_line(root, 0) end, "max: a whole number")
      raises(function() one:write(root, 5) end, "data")
      raises(function() one:write(root, { "a", 5 }) end, "data")
      raises(function() one:write(root, { text = "a" }) end, "data: a list of strings")
      -- Cause: lists were counted by their metamethods and sent raw, and libuv ended the process
      -- when there was nothing to send. Cure: they are counted raw.
      local two = { __len = function() return 2 end, __index = function() return "x" end }
      assert.is_true(one:write(root, setmetatable({}, two)))
      assert.is_true(one:write(root, setmetatable({ "a" }, two)))
      assert.equal("a", other:read(root))
      one:close()
      other:close()
    end)
  end)

  it("hints, services and addresses of names", function()
    run(function(root)
      raises(function() uv.getaddrinfo(root, "localhost", nil, "inet") end, "hints: a table")
      raises(function() uv.getaddrinfo(root, "x", nil, { family = "x" }) end, "hints.family")
      raises(function() uv.getaddrinfo(root, "localhost", nil, { famly = "inet" }) end, '"famly"')
      raises(function() uv.getaddrinfo(root, "localhost", nil, { all = 1 }) end, "hints.all")
      raises(function() uv.getaddrinfo(root, "localhost", "http\0x") end, "service")
      raises(function() uv.getaddrinfo(root, "localhost", {}) end, "service")
      raises(function() uv.getaddrinfo(root) end, "name")
      raises(function() uv.getnameinfo(root, { ip = "127.0.0.1\0" }) end, "address.ip")
      raises(function() uv.getnameinfo(root, "127.0.0.1") end, "address: a table")
    end)
  end)

  it("options of programs", function()
    local function text(value)
      return setmetatable({}, { __tostring = function() return value end })
    end
    run(function(root)
      for key, each in pairs {
        ["args a"] = { args = { "a\0b" } }, ["args b"] = { args = { "a", nil, "b" } },
        ["args c"] = { args = { x = "a" } }, ["env a"] = { env = { X = "a\0b" } },
        ["env b"] = { env = { ["A=B"] = 1 } }, ["env c"] = { env = { [""] = 1 } },
        ["env d"] = { env = { "A=b\0c" } }, ["env e"] = { env = { A = text "x\0y" } },
        ["env f"] = { env = { A = {} } }, ["env g"] = { env = { [7] = "A=1" } },
        ["cwd a"] = { cwd = "/tmp\0" }, ["cwd b"] = { cwd = 5 }, ["uid a"] = { uid = 2 ^ 32 },
        ["uid b"] = { uid = -1 }, ["gid a"] = { gid = 0.5 }, ["stdout a"] = { stdout = 2.5 },
        ["stdout b"] = { stdout = BIG }, ["stdout c"] = { stdout = "x" }, ["fds a"] = { fds = 5 },
        ["fds b"] = { fds = { [2] = 1 } }, ["fds c"] = { fds = { [3.5] = 1 } },
        ["fds d"] = { fds = { ["3"] = 1 } }, ["fds e"] = { fds = { [1e6] = 1 } },
        ["fds f"] = { fds = { [3] = "pipe" } }, ["grace a"] = { grace = HUGE },
        ["grace b"] = { grace = -1 },
      } do
        raises(function() uv.start(root, "true", each) end, option(key))
      end
      raises(function() uv.spawn(root, "true", { limit = 1.5 }) end, "options.limit")
      raises(function() uv.spawn(root, "true", { linger = 1e300 }) end, "options.linger")
    end)
  end)

  it("numbers of files that the system would cut, and functions for another thread", function()
    run(function(root)
      raises(function() uv.fs_chmod(root, "/", 1e6) end, "mode")
      raises(function() uv.fs_chown(root, "/", 2 ^ 32, 0) end, "id")
      raises(function() uv.fs_read(root, 0, 1e18) end, "size")
      raises(function() uv.fs_utime(root, "/", NAN, 1) end, "time")
      raises(function() uv.fs_opendir(root, "/", 1e9) end, "entries")
      raises(function() uv.work(root, print) end, "fn: a function in Lua")
      raises(function() uv.work(root, coroutine.wrap(function() end)) end, "fn: a function in Lua")
    end)
  end)

  -- Cause: only numbers that luv would cut were checked. A directory could be called "-nan", an
  -- invalid mode was "may be accessed", and an empty list an "Unknown system error 0". Cure: each
  -- parameter has a rule; this reads them from the annotations, and tries each with what never
  -- fits.
  it("each argument of the functions for files", function()
    local good = { flags = { fs_open = "r" }, mode = 0, size = 0, offset = 0, entries = 1, uid = 0,
      gid = 0, atime = 0, mtime = 0, fd = 0, in_fd = 0, out_fd = 0, data = "x" }
    local text = { path = "/nowhere", new_path = "/nowhere", template = "/nowhere/XXXXXX" }
    local tried = 0
    run(function(root)
      local done, cancel = ctx.with_cancel(root)
      cancel()
      for name, given in functions_of("ctx.uv", "^fs_") do
        for position, parameter in ipairs(given) do
          local arguments = {}
          for i, each in ipairs(given) do
            local value = text[each] or good[each]
            arguments[i] = type(value) == "table" and (value[name] or {}) or value
          end
          for _, wrong in ipairs { NAN, true, print, { 5 }, 0.5, text[parameter] and 5 or -7 } do
            if not (parameter:find("time") and (wrong == -7 or wrong == 0.5)) then
              arguments[position] = wrong
              raises(function() uv[name](done, table.unpack(arguments, 1, #given)) end,
                ("bad argument #%d to '%s' ("):format(position + 1, name))
              tried = tried + 1
            end
          end
        end
      end
    end)
    assert(tried > 300, tried)
  end)

  --- Calls fn with one object of each class, by the names of these.
  local function with_objects(fn)
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local socket <close> = assert(uv.udp("127.0.0.1"))
      local watcher <close> = assert(uv.watch("/"))
      local stream <close>, peer = loopback.pair(root)
      local process <close> = assert(uv.start(root, "true"))
      peer:close()
      fn({ Listener = listener, Udp = socket, Watcher = watcher, Stream = stream,
        Process = process }, root)
    end)
  end

  it("each argument of the methods", function()
    local tried = 0
    with_objects(function(objects, root)
      local good = { c = root, data = "x", name = "127.0.0.1", port = 9, ip = "127.0.0.1", max = 1,
        n = 1, ms = 1 }
      local function try(object, name, given)
        for position in ipairs(given) do
          for _, wrong in ipairs { print, true, { 5 }, coroutine.create(print) } do
            local arguments = {}
            for i, each in ipairs(given) do arguments[i] = good[each] end
            arguments[position] = wrong
            raises(function() object[name](object, table.unpack(arguments)) end,
              ("bad argument #%d to '%s' ("):format(position, name))
            tried = tried + 1
          end
        end
      end
      for class, object in pairs(objects) do
        for name, given in functions_of("ctx.uv." .. class, "") do
          try(object, name, name ~= "close" and given or {})
        end
      end
    end)
    assert(tried > 60, tried)
  end)

  it("methods that are called with a dot", function()
    with_objects(function(objects)
      for _, object in pairs(objects) do
        for name, method in pairs(getmetatable(object).__index) do
          if not name:find("^_") then
            raises(function() method() end, ("bad self to '%s'"):format(name))
          end
        end
      end
    end)
  end)
end)

describe("ctx.uv takes whole numbers that are floats:", function()
  it("ports, descriptors, sizes", function()
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0.0, { backlog = 5.0 }))
      local stream <close> = assert(uv.connect(root, "127.0.0.1", listener:address().port + 0.0))
      local peer <close> = assert(listener:accept(root))
      peer:write(root, "abc")
      assert.equal("abc", stream:read_exactly(root, 3.0))
      local fd = assert(uv.fs_open(root, "/dev/null", "r", 420.0))
      assert.equal("", uv.fs_read(root, fd + 0.0, 1.0))
      assert.is_true(uv.fs_close(root, fd + 0.0))
    end)
  end)

  it("descriptors of programs", function()
    run(function(root)
      local fds = assert(luv.pipe())
      local result = assert(uv.spawn(root, "sh", { args = { "-c", "echo seen; echo too >&9" },
        stdout = fds.write + 0.0, fds = { [9] = fds.write + 0.0 }, uid = luv.getuid() + 0.0 }))
      assert.equal(0, result.code)
      luv.fs_close(fds.write)
      local from <close> = assert(uv.open(fds.read + 0.0))
      assert.equal("seen\ntoo\n", from:read_exactly(root, 9))
    end)
  end)
end)

describe("what only the system can judge is an outcome of ctx.uv:", function()
  local function fails(code, ...)
    local nothing, err = ...
    assert.is_nil(nothing)
    assert.equal(code, err.code)
  end

  it("zero bytes in paths, names and addresses", function()
    run(function(root)
      fails("EINVAL", uv.watch("/tmp\0/nowhere"))
      fails("EINVAL", uv.start(root, "true\0x"))
      fails("EINVAL", uv.listen("::1\0", 0))
      fails("EINVAL", uv.udp("::1\0", 0))
      fails("EINVAL", uv.listen_pipe("x\0y"))
      fails("EINVAL", uv.connect_pipe(root, "x\0y"))
      fails("EAI_NONAME", uv.connect(root, "::1\0x", 9))
      fails("EAI_NONAME", uv.getaddrinfo(root, "localhost\0x"))
      fails("EINVAL", uv.fs_open(root, "/etc/hosts", "r\0w"))
      fails("EINVAL", uv.getaddrinfo(root, "localhost", nil, { protocol = "nope" }))
    end)
  end)

  it("whatever a resolver answers", function()
    run(function(root)
      local function connect(answer)
        local stream, err = uv.connect(root, "name", 9, { resolve = answer })
        return stream, err
      end
      for code, answers in pairs {
        EAI_NODATA = { function() end, function() return {} end, function() return false end,
          function() return { nil, "127.0.0.1" } end, function() return { ip = "127.0.0.1" } end,
          function() return nil, nil end },
        EINVAL = { function() return "127.0.0.1" end, function() return 5 end,
          function() return true end, function() return print end,
          function() return { "nowhere" } end, function() return { "127.0.0.1\0" } end,
          function() return { { addr = "127.0.0.1", port = 1.5 } } end },
      } do
        for _, answer in ipairs(answers) do
          fails(code, connect(answer))
        end
      end
      local _, err = connect(function() return nil, "no such name" end)
      assert.equal("no such name", err)
    end)
  end)

  it("a working directory that is missing, which the error names", function()
    run(function(root)
      for folder, code in pairs { ["/no/such/folder"] = "ENOENT", ["/etc/hosts"] = "ENOTDIR" } do
        local nothing, err = uv.spawn(root, "sh", { args = { "-c", "true" }, cwd = folder })
        assert.is_nil(nothing)
        assert.equal(code, err.code)
        assert.truthy(tostring(err):find(folder, 1, true))
      end
      local _, err = uv.spawn(root, "no-such-program", { cwd = "/tmp" })
      assert.is_nil(tostring(err):find("/tmp", 1, true))
    end)
  end)

  it("a port that luv or the system cannot share", function()
    run(function()
      local first, err = uv.listen("127.0.0.1", 0, { reuseport = true })
      if not first then
        return assert.equal("ENOTSUP", err.code)
      end
      local port = first:address().port
      assert(uv.listen("127.0.0.1", port, { reuseport = true })):close()
      first:close()
    end)
  end)
end)

describe("uv.work", function()
  it("says what its function raised, whatever that is", function()
    run(function(root)
      local function raised(fn)
        local nothing, err = uv.work(root, fn)
        assert.is_nil(nothing)
        assert.equal("UNKNOWN", err.code)
        local text = tostring(err)
        assert.is_nil(text:find("result", 1, true))
        return text
      end
      assert.truthy(raised(function() error("no luck", 0) end):find("no luck", 1, true))
      assert.truthy(raised(function()
        error(setmetatable({}, { __tostring = function() return "disk full" end }))
      end):find("disk full", 1, true))
      assert.truthy(raised(function() error({ code = 7 }) end):find("table", 1, true))
      assert.truthy(raised(function() error() end):find("nil", 1, true))
      assert.truthy(raised(function() error(false) end):find("false", 1, true))
      assert.truthy(raised(function() error(print) end):find("function", 1, true))
      assert.truthy(raised(function()
        error(setmetatable({}, { __tostring = function() error("x") end }))
      end):find("cannot be printed", 1, true))
      assert.truthy(raised(function() error(setmetatable({}, { __tostring = "x" })) end)
        :find("cannot be printed", 1, true))
    end)
  end)
end)
