-- SPDX-License-Identifier: MIT
--- nginx as a process of a spec, with a configuration of its own, in a folder of its own.
local folder = require "spec.support.folder"
local uv = require "ctx.uv"

local nginx = {}

local AROUND = [[
daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log stderr notice;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fast; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  client_max_body_size 0;
  %s
}
]]

--- Starts it; `inside` stands in the block http, where ${folder} is the folder. It is there when
--- the call returns, and ends with <close>.
function nginx.start(c, inside)
  local dir = folder.new()
  local file = assert(io.open(dir .. "/nginx.conf", "w"))
  file:write((AROUND:format(inside:gsub("%%", "%%%%")):gsub("%${folder}", dir)))
  file:close()
  local process = assert(uv.start(c, "/usr/sbin/nginx", {
    args = { "-c", dir .. "/nginx.conf", "-p", dir, "-e", "stderr" }, stderr = "pipe",
  }))
  repeat
    local line = assert(process.stderr:read_line(c))
  until line:find("start worker process ", 1, true)
  return setmetatable({ folder = dir, process = process }, { __close = function()
    process:close()
    folder.remove(dir)
  end })
end

return nginx
