-- SPDX-License-Identifier: MIT
--- The codes of libuv's errors and what they mean. Luv's callbacks bring the bare code.
local list = [[
E2BIG argument list too long
EACCES permission denied
EADDRINUSE address already in use
EADDRNOTAVAIL address not available
EAFNOSUPPORT address family not supported
EAGAIN resource temporarily unavailable
EAI_ADDRFAMILY address family not supported by the name
EAI_AGAIN name resolution failed for now
EAI_BADFLAGS bad resolver flags
EAI_CANCELED name resolution was cancelled
EAI_FAIL name resolution failed for good
EAI_FAMILY address family not supported
EAI_MEMORY out of memory while resolving
EAI_NODATA the name has no address
EAI_NONAME unknown name or service
EAI_OVERFLOW resolver buffer overflow
EAI_SERVICE service not available for this kind of socket
EAI_SOCKTYPE socket type not supported
EALREADY connection already in progress
EBADF bad file descriptor
EBUSY resource busy
ECANCELED operation cancelled
ECLOSED closed on this side
ECONNABORTED connection aborted
ECONNREFUSED connection refused
ECONNRESET connection reset by peer
EDESTADDRREQ destination address required
EEXIST file already exists
EFAULT bad address
EFBIG file too large
EHOSTUNREACH host is unreachable
EINTR interrupted
EINVAL invalid argument
EIO input/output error
EISCONN already connected
EISDIR is a directory
ELOOP too many symbolic links
EMFILE too many open files
EMLINK too many links
EMSGSIZE message too long
ENAMETOOLONG name too long
ENETDOWN network is down
ENETUNREACH network is unreachable
ENFILE too many open files in the system
ENOBUFS no buffer space available
ENODEV no such device
ENOENT no such file or directory
ENOMEM not enough memory
ENOPROTOOPT protocol not available
ENOSPC no space left on device
ENOSYS not implemented here
ENOTCONN not connected
ENOTDIR not a directory
ENOTEMPTY directory not empty
ENOTSOCK not a socket
ENOTSUP operation not supported
ENOTTY not a terminal
ENXIO no such device or address
EOF end of file
EPERM operation not permitted
EPIPE broken pipe
EPROTO protocol error
EPROTONOSUPPORT protocol not supported
EPROTOTYPE protocol of the wrong type for this socket
ERANGE result out of range
EROFS read-only file system
ESHUTDOWN cannot send after shutdown
ESPIPE invalid seek
ESRCH no such process
ETIMEDOUT connection timed out
ETXTBSY text file is busy
EXDEV link across devices
UNKNOWN unknown error
]]

local codes = {} ---@type table<string, string>
for code, text in list:gmatch("([%u%d_]+) ([^\n]+)") do
  codes[code] = text
end

return codes
