-- SPDX-License-Identifier: MIT
-- Files, other threads, descriptors and changes.
local ctx = require "ctx"
local errors = require "ctx.errors"
local folder = require "spec.support.folder"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local uv = require "ctx.uv"

local run, cancelled = loopback.run, loopback.cancelled

local dir -- a fresh one for each test

before_each(function()
  dir = folder.new()
end)

after_each(function()
  if dir then
    folder.remove(dir)
    dir = nil
  end
end)

--- The descriptors that are open, as a set.
local function descriptors()
  local open = {}
  local request = assert(luv.fs_scandir("/proc/self/fd"))
  for name in luv.fs_scandir_next, request do
    if luv.fs_fstat(tonumber(name)) then
      open[name] = luv.fs_readlink("/proc/self/fd/" .. name) or "?"
    end
  end
  return open
end

describe("uv.fs_*", function()
  it("is there for everything that luv can do with files", function()
    local others = { fs_scandir_next = true }
    for name in pairs(luv) do
      if name:find("^fs_") and not name:find("^fs_event_") and not name:find("^fs_poll_")
        and not others[name] then
        assert.is_function(uv[name], name)
      end
    end
  end)

  it("writes, reads, tells and removes", function()
    run(function(root)
      local path = dir .. "/file"
      local fd = assert(uv.fs_open(root, path, "w+"))
      assert.equal(5, uv.fs_write(root, fd, "hello"))
      assert.equal("ell", uv.fs_read(root, fd, 3, 1))
      assert.equal("", uv.fs_read(root, fd, 3, 5))
      assert.equal(5, uv.fs_fstat(root, fd).size)
      assert.is_true(uv.fs_close(root, fd))
      assert.is_true(uv.fs_copyfile(root, path, dir .. "/copy"))
      assert.is_true(uv.fs_symlink(root, path, dir .. "/link"))
      assert.equal(path, uv.fs_readlink(root, dir .. "/link"))
      assert.is_true(uv.fs_mkdir(root, dir .. "/sub"))
      assert.is_true(uv.fs_access(root, dir .. "/sub"))

      local names = {}
      for _, entry in ipairs(assert(uv.fs_scandir(root, dir))) do
        names[entry.name] = entry.type
      end
      assert.same({ file = "file", copy = "file", link = "link", sub = "directory" }, names)
      local stream = assert(uv.fs_opendir(root, dir))
      assert.equal(4, #uv.fs_readdir(root, stream))
      local nothing, err = uv.fs_readdir(root, stream)
      assert.is_nil(nothing)
      assert.is_nil(err)
      assert.is_true(uv.fs_closedir(root, stream))

      assert.is_true(uv.fs_unlink(root, path))
      assert.is_true(uv.fs_rmdir(root, dir .. "/sub"))
      assert.is_nil((luv.fs_stat(path)))
      assert.is_nil((luv.fs_stat(dir .. "/sub")))
      local temporary = assert(uv.fs_mkdtemp(root, dir .. "/XXXXXX"))
      assert.equal("directory", uv.fs_stat(root, temporary).type)
    end)
  end)

  it("tells what went wrong, and where", function()
    run(function(root)
      local fd, err = uv.fs_open(root, "/no/such/file")
      assert.is_nil(fd)
      assert.is_true(errors.is(err, uv.ENOENT))
      assert.equal("fs_open: ENOENT: no such file or directory: /no/such/file", tostring(err))
      local list
      list, err = uv.fs_scandir(root, "/no/such/directory")
      assert.is_nil(list)
      assert.is_true(errors.is(err, uv.ENOENT))
    end)
  end)

  -- luv raised within the library, of a function 'call', and counted its own arguments.
  it("raises for what luv does not take at the caller's line, and counts the context", function()
    run(function(root)
      local done, cancel = ctx.with_cancel(root)
      cancel()
      misuse.raises(function() uv.fs_open(root) end, "#2 to 'fs_open' (path: a string expected")
      misuse.raises(function() uv.fs_open(root, "x", "zz") end, "'fs_open'", "'zz'")
      misuse.raises(function() uv.fs_close(root, "x") end, "#2 to 'fs_close' (fd: a descriptor")
      misuse.raises(function() uv.fs_close(done, "x") end, "#2 to 'fs_close' (fd: a descriptor")
      misuse.raises(function() uv.fs_scandir(root, {}) end, "#2 to 'fs_scandir'")
    end)
  end)

  it("refuses a path with a zero byte, which would end it", function()
    run(function(root)
      for _, name in ipairs { "fs_open", "fs_stat", "fs_mkdir", "fs_scandir", "fs_unlink" } do
        assert.is_true(errors.is(select(2, uv[name](root, dir .. "/\0")), uv.EINVAL))
      end
      assert.is_true(errors.is(select(2, uv.start(root, "true\0")), uv.EINVAL))
      assert.is_true(errors.is(select(2, uv.connect(root, "localhost\0x", 1)), uv.EAI_NONAME))
      local fd = assert(uv.fs_open(root, dir .. "/file", "w"))
      assert.equal(3, uv.fs_write(root, fd, "a\0b"))
      assert.is_true(uv.fs_close(root, fd))
    end)
  end)

  it("frees what comes too late: a file is closed, a temporary one removed, too", function()
    run(function(root)
      local before = descriptors()
      local made = {}
      for _, case in ipairs {
        { "fs_open", "/dev/null" }, { "fs_opendir", dir },
        { "fs_mkstemp", dir .. "/XXXXXX" }, { "fs_mkdtemp", dir .. "/XXXXXX" },
      } do
        for _ = 1, 10 do
          local got, err = cancelled(root, function(c)
            return uv[case[1]](c, case[2])
          end)
          assert.is_nil(got)
          assert.equal("context canceled: enough", tostring(err))
        end
      end
      -- The pool has done all that it was asked for when this is through on each of its threads.
      for i = 1, 20 do
        made[i] = ctx.go(uv.fs_stat, root, dir)
      end
      for i = 1, 20 do
        assert(made[i]:wait(root))
      end
      ctx.sleep(root, 1)
      assert.same(before, descriptors())
      assert.same({}, uv.fs_scandir(root, dir))
    end)
  end)

  it("closes also when the context is done", function()
    run(function(root)
      local fd = assert(uv.fs_open(root, "/dev/null"))
      local c, cancel = ctx.with_cancel(root)
      cancel()
      assert.is_true(uv.fs_close(c, fd))
      assert.is_true(errors.is(select(2, uv.fs_close(c, fd)), uv.EBADF))
      assert.equal(ctx.canceled, select(2, uv.fs_open(c, "/dev/null")))
    end)
  end)
end)

-- Closing freed a directory under the read of a caller that had left, on another thread, and a
-- second close freed it once more: the process died. Now a close waits for the read, and
-- what is closed is told from what is open.
describe("uv.fs_readdir", function()
  local function fill(root, n)
    for i = 1, n do
      local fd = assert(uv.fs_open(root, ("%s/file-%d"):format(dir, i), "w"))
      assert(uv.fs_close(root, fd))
    end
  end

  it("may be given up, and its directory be closed at once", function()
    run(function(root)
      fill(root, 100)
      for round = 1, 50 do
        local stream = assert(uv.fs_opendir(root, dir, 200))
        local entries, err = cancelled(root, function(c)
          return uv.fs_readdir(c, stream)
        end, coroutine.yield) -- so that the read has begun, or has even ended
        assert.is_true(#(entries or {}) == 100 or tostring(err) == "context canceled: enough")
        local c, cancel = ctx.with_cancel(root)
        cancel()
        assert.is_true(uv.fs_closedir(round % 2 == 0 and root or c, stream))
      end
    end)
  end)

  it("reads for one caller at a time", function()
    run(function(root)
      fill(root, 20)
      local stream, seen, tasks = assert(uv.fs_opendir(root, dir, 4)), {}, {}
      for i = 1, 5 do
        tasks[i] = ctx.go(uv.fs_readdir, root, stream)
      end
      for i = 1, 5 do
        for _, entry in ipairs(assert(tasks[i]:wait(root))) do
          assert.is_nil(seen[entry.name])
          seen[entry.name] = true
        end
      end
      assert.is_nil((uv.fs_readdir(root, stream)))
      assert.is_true(uv.fs_closedir(root, stream))
      assert.is_true(seen["file-1"] and seen["file-20"])
    end)
  end)

  it("and a second close tell that the directory was closed", function()
    run(function(root)
      local stream = assert(uv.fs_opendir(root, dir))
      assert.is_true(uv.fs_closedir(root, stream))
      assert.is_true(errors.is(select(2, uv.fs_closedir(root, stream)), uv.EBADF))
      assert.is_true(errors.is(select(2, uv.fs_readdir(root, stream)), uv.EBADF))
      misuse.raises(function() uv.fs_readdir(root, 5) end, "a directory expected")
    end)
  end)
end)

-- Luv calls such errors "Unknown system error -122", of which the first letter was the code.
describe("an error that libuv does not know", function()
  it("has the code UNKNOWN and all the words", function()
    local failure = require "ctx.uv.failure"
    for _, said in ipairs { "Unknown system error -122",
      "Unknown system error -122: Unknown system error -122: /x" } do
      local err = failure.of(nil, said, "fs_mkdir")
      assert.is_true(errors.is(err, uv.UNKNOWN))
      assert.equal("fs_mkdir: UNKNOWN: " .. said, tostring(err))
    end
    assert.equal("x: ENOENT: no such file or directory", tostring(failure.of(nil, "ENOENT", "x")))
  end)
end)

describe("uv.work", function()
  it("computes on another thread", function()
    run(function(root)
      local sum, text, nothing, yes = uv.work(root, function(n, word)
        local total = 0
        for i = 1, n do
          total = total + i
        end
        return total, word:upper(), nil, true
      end, 1000, "word")
      assert.equal(500500, sum)
      assert.equal("WORD", text)
      assert.is_nil(nothing)
      assert.is_true(yes)
    end)
  end)

  it("brings errors back", function()
    run(function(root)
      local result, err = uv.work(root, function() error("broken over there") end)
      assert.is_nil(result)
      assert.truthy(tostring(err):find("broken over there", 1, true))
      result, err = uv.work(root, function() return {} end)
      assert.is_nil(result)
      assert.truthy(tostring(err):find("result 1 is a table", 1, true))
    end)
  end)

  it("lets its caller go when the context ends", function()
    run(function(root)
      local result, err = cancelled(root, function(c)
        return uv.work(c, function()
          local until_time = os.clock() + 0.02
          while os.clock() < until_time do end
          return "late"
        end)
      end)
      assert.is_nil(result)
      assert.equal("context canceled: enough", tostring(err))
    end)
  end)

  -- Luv has room for nine values, one of which is ours: it dropped arguments in silence, and wrote
  -- over its own memory for results. Now both are counted before.
  it("takes eight arguments and gives eight results, and says that there are more", function()
    run(function(root)
      local got = table.pack(uv.work(root, function(...)
        return ...
      end, 1, 2, 3, 4, 5, 6, 7, nil))
      assert.same({ n = 8, 1, 2, 3, 4, 5, 6, 7 }, got)
      local result, err = uv.work(root, function()
        return 1, 2, 3, 4, 5, 6, 7, 8, 9
      end)
      assert.is_nil(result)
      assert.truthy(tostring(err):find("9 results, and 8 can cross", 1, true))
      misuse.raises(function()
        uv.work(root, function() end, 1, 2, 3, 4, 5, 6, 7, 8, 9)
      end, "8 arguments at most")
      misuse.raises(function() uv.work(root, function() end, 1, {}) end,
        "bad argument #4 to 'work'", "got table")
    end)
  end)

  it("refuses what cannot cross at the caller's line", function()
    run(function(root)
      local outside = 1
      local ok, err = pcall(function()
        uv.work(root, function() return outside end)
      end)
      assert.is_false(ok)
      assert.truthy(err:find("uv_files_spec.lua", 1, true))
      assert.truthy(err:find("uses variables from outside", 1, true))
    end)
  end)
end)

describe("uv.poll", function()
  it("waits for a descriptor, and leaves it open", function()
    run(function(root)
      local fds = assert(luv.socketpair())
      misuse.raises(function() uv.poll(root, fds[1], "zz") end, '"r", "w" or "rw"')
      assert.equal("w", uv.poll(root, fds[1], "w"))
      local nothing, err = cancelled(root, function(c)
        return uv.poll(c, fds[1])
      end)
      assert.is_nil(nothing)
      assert.equal("context canceled: enough", tostring(err))
      luv.fs_write(fds[2], "x")
      -- The handle of a coroutine that was closed stood in the way of the next one.
      local c, cancel = ctx.with_cancel(root)
      local given_up = coroutine.create(uv.poll)
      assert(coroutine.resume(given_up, c, fds[1]))
      coroutine.close(given_up)
      cancel()
      assert(ctx.sleep(root, 0))
      assert.equal("w", uv.poll(root, fds[1], "w"))
      assert.equal("r", uv.poll(root, fds[1]))
      luv.fs_close(fds[1])
      luv.fs_close(fds[2])
      nothing, err = uv.poll(root, fds[1])
      assert.is_nil(nothing)
      assert.is_true(errors.is(err, uv.EBADF))
      local fd = assert(luv.fs_open("/etc/passwd", "r", 0))
      nothing, err = uv.poll(root, fd)
      luv.fs_close(fd)
      assert.is_nil(nothing)
      assert.is_true(errors.is(err, uv.EPERM))
    end)
  end)
end)

describe("uv.watch", function()
  it("tells of changes, those that came while nobody asked included", function()
    run(function(root)
      misuse.raises(function() uv.watch(dir, { recursiv = true }) end, '"recursiv"')
      local watcher <close> = assert(uv.watch(dir))
      local change, err = cancelled(root, function(c)
        return watcher:next(c)
      end)
      assert.is_nil(change)
      assert.equal("context canceled: enough", tostring(err))
      local fd = assert(uv.fs_open(root, dir .. "/file", "w"))
      assert.is_true(uv.fs_close(root, fd))
      change = assert(watcher:next(root))
      assert.equal("file", change.name)
      assert.is_true(change.rename)
      watcher:close()
      assert.is_true(errors.is(select(2, watcher:next(root)), uv.ECLOSED))
      local none
      none, err = uv.watch(dir .. "/none")
      assert.is_nil(none)
      assert.is_true(errors.is(err, uv.ENOENT))
    end)
  end)
end)
