-- SPDX-License-Identifier: MIT
--- A rolling restart under load that loses no request: nginx in front of two instances of a server,
--- each restarted in its turn, while clients ask and ask.
---
--- Usage: rolling.lua [--rounds N]     (from the project: ./dev lua examples/nginx/rolling.lua)
---   --rounds N: how often each instance is restarted (2)
---
--- Needs nginx; nginx.conf beside this file is the configuration. Exits 0 only if each request, GET
--- and POST, was answered with 200 and its own answer, and each instance ended with 0.
local ctx = require "ctx"
local http = require "ctx.http"
local luv = require "luv"
local uv = require "ctx.uv"

local CLIENTS = 40
local BETWEEN = 100 -- requests that an instance answers before the next restart

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local rounds = arg[1] == "--rounds" and tonumber(arg[2]) or 2

--- A loopback address of our own: nobody else's connections take ports from it, so a port that was
--- free stays free while its instance restarts.
local pid = math.tointeger(luv.os_getpid())
local ADDRESS = ("127.%d.%d.%d"):format(64 + pid // 65536 % 64, pid // 256 % 256, pid % 256)

local function say(text, ...)
  print(text:format(...))
  io.stdout:flush()
end

-- -- The instances --------------------------------------------------------------------------------

--- Starts one, and waits until it serves.
---@return ctx.uv.Process
---@return integer port
local function start_instance(c, name, port)
  local instance = assert(uv.start(c, luv.exepath(), {
    args = { here .. "/server.lua", name, ADDRESS, tostring(port) },
    stdout = "pipe", stderr = "inherit",
  }))
  local line = assert(instance.stdout:read_line(c))
  return instance, math.tointeger(tonumber(line:match("serves on (%d+)$")))
end

-- -- nginx ----------------------------------------------------------------------------------------

local function free_port()
  local listener <close> = assert(uv.listen(ADDRESS, 0))
  return listener:address().port
end

--- Whether somebody listens there.
local function is_open(c, port)
  local connection = uv.connect(c, ADDRESS, port)
  if connection then
    connection:close()
  end
  return connection ~= nil
end

local function start_nginx(c, folder, ports)
  local port = free_port()
  local values = { FOLDER = folder, LISTEN = ADDRESS .. ":" .. port,
    FIRST = ADDRESS .. ":" .. ports[1], SECOND = ADDRESS .. ":" .. ports[2] }
  local template <close> = assert(io.open(here .. "/nginx.conf"))
  local file <close> = assert(io.open(folder .. "/nginx.conf", "w"))
  file:write((template:read("a"):gsub("%${(%u+)}", values)))
  file:close()
  local nginx = assert(uv.start(c, "nginx", {
    args = { "-c", folder .. "/nginx.conf", "-p", folder, "-e", "stderr" }, stderr = "inherit",
  }))
  while not is_open(c, port) do
    assert(not nginx.code, "nginx does not start")
    assert(ctx.sleep(c, 10))
  end
  return nginx, ("http://%s:%d"):format(ADDRESS, port)
end

-- -- The load -------------------------------------------------------------------------------------

local answered, lost, by = 0, {}, {}

--- One request, GET or POST; nil and what is wrong with its answer.
local function ask(c, url, i)
  local path, body = "/" .. i, i % 2 == 0 and "body " .. i or nil
  local response, err
  if body then
    response, err = http.post(c, url .. path, body)
  else
    response, err = http.get(c, url .. path)
  end
  if not response then
    return nil, err
  end
  local expected = ("%s %s %s"):format(body and "POST" or "GET", path, body or "")
  if response.status ~= 200 or response.body ~= expected then
    return nil, ("status %d: %s"):format(response.status, response.body)
  end
  local instance = response.headers["x-instance"]
  by[instance] = (by[instance] or 0) + 1
  return true
end

local function client(c, url, enough, number)
  local i = number
  while not enough:done() do
    local ok, err = ask(c, url, i)
    answered = answered + (ok and 1 or 0)
    lost[#lost + 1] = not ok and ("request %d: %s"):format(i, err) or nil
    i = i + CLIENTS
  end
end

--- Waits until each of the instances has had its share.
local function wait_for(c, names)
  for _, name in ipairs(names) do
    local goal = (by[name] or 0) + BETWEEN
    while (by[name] or 0) < goal and #lost == 0 do
      assert(ctx.sleep(c, 1))
    end
  end
end

-- -- All of it ------------------------------------------------------------------------------------

---@param names string[]  of the instances, as they are now
local function restart_in_turn(c, instances, ports, names)
  for round = 1, rounds do
    for i, old in ipairs(instances) do
      wait_for(c, names)
      assert(old:kill "sigterm")
      local exit = assert(old:wait(c))
      assert(exit.code == 0, names[i] .. " has not ended as it must")
      old:close()
      names[i] = ("instance %d.%d"):format(i, round)
      say("%6d answered, %d lost: %s takes over", answered, #lost, names[i])
      instances[i] = start_instance(c, names[i], ports[i])
    end
  end
  wait_for(c, names)
end

--- How many connections nginx was refused, which is the plan, and what else it found worth a line.
local function read_log(folder)
  local refused, rest = 0, {}
  for line in io.lines(folder .. "/error.log") do
    if line:find("Connection refused", 1, true) then
      refused = refused + 1
    else
      rest[#rest + 1] = line
    end
  end
  return refused, rest
end

local function play(c, folder)
  local names, instances, ports = { "instance 1.0", "instance 2.0" }, {}, {}
  for i, name in ipairs(names) do
    instances[i], ports[i] = start_instance(c, name, 0)
  end
  local nginx, url = start_nginx(c, folder, ports)
  local enough, stop = ctx.with_cancel(c)
  local clients = {}
  for i = 1, CLIENTS do
    clients[i] = ctx.go(client, c, url, enough, i)
  end
  restart_in_turn(c, instances, ports, names)
  stop()
  for _, task in ipairs(clients) do
    task:wait(c)
  end
  for _, process in ipairs { nginx, table.unpack(instances) } do
    process:close()
  end
end

local function main(root)
  local folder = assert(luv.fs_mkdtemp(luv.os_tmpdir() .. "/ctx-nginx-XXXXXX"))
  local _ <close> = setmetatable({}, { __close = function()
    os.execute(("rm -r '%s'"):format(folder))
  end })
  play(root, folder)
  local refused, rest = read_log(folder)
  say("nginx was refused %d connections, and asked the other instance", refused)
  for _, line in ipairs(rest) do
    say("nginx: %s", line)
  end
end

luv.os_setenv("PATH", (luv.os_getenv "PATH" or "") .. ":/usr/sbin") -- where Debian has nginx
ctx.run(main)

for i = 1, math.min(#lost, 20) do
  say("lost: %s", lost[i])
end
say("%d requests answered, %d lost", answered, #lost)
os.exit(#lost == 0)
