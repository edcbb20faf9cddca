-- SPDX-License-Identifier: MIT
--- Other people's web servers, as processes of a spec: nginx, and Node with certificates of every
--- kind. Each is there when the call returns, and ends with `<close>`.
local ctx = require "ctx"
local folder = require "spec.support.folder"
local luv = require "luv"
local uv = require "ctx.uv"

local peers = {}

local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."

--- Runs a program to its end.
local function command(c, file, ...)
  local result = assert(uv.spawn(c, file, { args = { ... } }))
  assert(result.code == 0, file .. ": " .. result.stderr)
end

-- -- Certificates ---------------------------------------------------------------------------------

--- What `openssl ca` must be told. Other commands of OpenSSL take no date before today.
local AUTHORITY = [[
[ca]
default_ca = ours
[ours]
database = %sindex.txt
new_certs_dir = %s
certificate = %sca.pem
private_key = %sca.key
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
]]

--- Signs a request with dates that are over.
local function sign_expired(c, dir, request, pem)
  local config = assert(io.open(dir .. "ca.cnf", "w"))
  config:write((AUTHORITY:gsub("%%s", dir)))
  config:close()
  assert(io.open(dir .. "index.txt", "w")):close()
  command(c, "openssl", "ca", "-batch", "-notext", "-config", dir .. "ca.cnf", "-in", request,
    "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-out", pem)
end

--- A key and a certificate for it, both in files of this name, signed by "itself", by the folder's
--- "ca", or by that with dates that are over: "expired".
local function certify(c, dir, name, subject_alternative, by)
  local key, request, pem = dir .. name .. ".key", dir .. name .. ".csr", dir .. name .. ".pem"
  local new = { "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
    "-keyout", key, "-subj", "/CN=" .. name }
  if subject_alternative then
    table.move({ "-addext", "subjectAltName=" .. subject_alternative }, 1, 2, #new + 1, new)
  end
  if by == "itself" then
    table.move({ "-x509", "-days", "2", "-out", pem }, 1, 5, #new + 1, new)
    return command(c, "openssl", table.unpack(new))
  end
  table.move({ "-out", request }, 1, 2, #new + 1, new)
  command(c, "openssl", table.unpack(new))
  if by == "expired" then
    return sign_expired(c, dir, request, pem)
  end
  command(c, "openssl", "x509", "-req", "-in", request, "-CA", dir .. "ca.pem", "-CAkey",
    dir .. "ca.key", "-CAcreateserial", "-days", "2", "-copy_extensions", "copy",
    "-out", pem)
end

--- A folder with a private CA (ca.pem), and what it and others have signed: good, wrong (for
--- another host), expired, self (by itself), client. Remove it.
---@return string dir  ends with a slash
function peers.certificates(c)
  local dir = folder.new() .. "/"
  local us = "DNS:localhost,IP:127.0.0.1"
  certify(c, dir, "ca", nil, "itself")
  certify(c, dir, "good", us, "ca")
  certify(c, dir, "wrong", "DNS:other.example", "ca")
  certify(c, dir, "expired", us, "expired")
  certify(c, dir, "self", us, "itself")
  certify(c, dir, "client", "DNS:client", "ca")
  return dir
end

-- -- Node -----------------------------------------------------------------------------------------

---@class spec.Peer
---@field ports table<string, integer>
local Peer = {}
local metatable = { __index = Peer }

--- Closing: the process first, then what it may still use.
metatable.__close = function(self)
  self._process:close()
  if self._dir then
    folder.remove(self._dir)
  end
end

--- The next line that Node prints: what happened there.
function Peer:line(c)
  return assert(self._process.stdout:read_line(c))
end

--- Servers by Node, by their names in `ports`; see web_server.js for what they do.
---@param dir? string  with certificates
function peers.node(c, dir)
  local process = assert(uv.start(c, "node", {
    args = { here .. "/web_server.js", dir }, stdout = "pipe", stderr = "inherit",
  }))
  local self = setmetatable({ _process = process, ports = {} }, metatable)
  repeat
    local name, port = self:line(c):match("^port (%S+) (%d+)$")
    if name then
      self.ports[name] = math.tointeger(tonumber(port))
    end
  until not name
  return self
end

--- A server of HTTP/2 by frames, with `port`; see frames.js for its troubles.
---@param dir string  with certificates
---@param trouble string
function peers.frames(c, dir, trouble)
  local process = assert(uv.start(c, "node", {
    args = { here .. "/frames.js", dir, trouble }, stdin = "pipe", stdout = "pipe",
    stderr = "inherit",
  }))
  local self = setmetatable({ _process = process }, metatable)
  self.port = math.tointeger(tonumber(self:line(c):match("^port (%d+)$")))
  return self
end

-- -- nginx ----------------------------------------------------------------------------------------

local CONFIGURATION = [[
daemon off;
worker_processes 1;
pid %snginx.pid;
error_log stderr notice;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path %sbody; proxy_temp_path %sproxy; fastcgi_temp_path %sfast;
  uwsgi_temp_path %suwsgi; scgi_temp_path %sscgi;
  keepalive_requests 100000;
  client_max_body_size 100k;
  gzip on; gzip_types text/plain; gzip_min_length 1;
  server {
    listen 127.0.0.1:%d;
    root %s;
    default_type text/plain;
    location = /hello { return 200 "hello"; }
    location = /moved { return 301 /hello; }
    location = /status { return 503 "not now"; }
    location = /upload { proxy_pass http://127.0.0.1:%d/sink; }
    location = /connection { return 200 $connection; }
  }
  server {
    listen 127.0.0.1:%d http2;
    root %s;
    default_type text/plain;
    location = /hello { return 200 "hello by $server_protocol"; }
  }
}
]]

--- A port that nobody listens on just now.
local function free_port()
  local handle = luv.new_tcp()
  assert(handle:bind("127.0.0.1", 0))
  local port = handle:getsockname().port
  handle:close()
  return port
end

--- nginx, in front of a folder with the file large.txt of 5 MB; at the port `h2` it speaks HTTP/2
--- without TLS.
function peers.nginx(c)
  local dir, port, h2 = folder.new() .. "/", free_port(), free_port()
  assert(luv.fs_chmod(dir, tonumber("755", 8))) -- its worker is another user
  local function write(name, text)
    local file = assert(io.open(dir .. name, "wb"))
    file:write(text)
    file:close()
  end
  write("large.txt", ("0123456789"):rep(500000))
  local ports = { port, port, h2 }
  write("nginx.conf", CONFIGURATION:gsub("%%([sd])", function(kind)
    return kind == "s" and dir or table.remove(ports, 1)
  end))
  local process = assert(uv.start(c, "/usr/sbin/nginx", {
    args = { "-c", dir .. "nginx.conf", "-p", dir, "-e", "stderr" }, stderr = "pipe",
  }))
  local self = setmetatable({ _process = process, _dir = dir, port = port, h2 = h2 }, metatable)
  repeat
    local line = assert(process.stderr:read_line(c))
  until line:find("start worker process ", 1, true)
  ctx.go(function()
    repeat until not process.stderr:read(c) -- a full pipe would stop it
  end)
  return self
end

return peers
