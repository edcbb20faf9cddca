-- SPDX-License-Identifier: MIT
--- Responses, byte by byte as a server may send them, each with what the client makes of it.
---
--- A row: a name; the bytes, all that the server sends; the outcome, as `status body` or the
--- error's code; and the connection afterwards: "kept" for the next request, or "closed". Options:
--- `method` of the request, "GET" by default; `max_head`; `ends`: the server closes behind the
--- bytes, without which there is no outcome.

--- The head of a response with these fields, and a body.
local function response(status, fields, body)
  local lines = { "HTTP/1.1 " .. status }
  table.move(fields, 1, #fields, 2, lines)
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

--- A 200 with these fields, and the body "ok".
local function ok(...)
  return response("200 OK", { ... }, "ok")
end

--- A 200 with these fields besides its length, and the body "ok".
local function with(...)
  return response("200 OK", { "Content-Length: 2", ... }, "ok")
end

--- A status line before the rest of a good response.
local function line(text)
  return text .. "\r\nContent-Length: 2\r\n\r\nok"
end

--- A chunked body.
local function chunked(body, ...)
  return response("200 OK", { "Transfer-Encoding: chunked", ... }, body)
end

local LAST = "0\r\n\r\n"

--- Interim responses before a good one.
local function after(...)
  return table.concat({ ... }) .. with()
end

local LONG = ("a"):rep(300)

local groups = {}

groups["status lines"] = {
  { "as usual", line "HTTP/1.1 200 OK", "200 ok", "kept" },
  { "no reason", line "HTTP/1.1 200 ", "200 ok", "kept" },
  { "no reason and no blank", line "HTTP/1.1 200", "200 ok", "kept" },
  { "a long reason", line "HTTP/1.1 200 All is well, as far as I know", "200 ok", "kept" },
  { "a reason beyond ASCII", line "HTTP/1.1 200 \xc3\xbc", "200 ok", "kept" },
  { "a tab in the reason", line "HTTP/1.1 200 a\tb", "200 ok", "kept" },
  { "404", line "HTTP/1.1 404 Not Found", "404 ok", "kept" },
  { "599", line "HTTP/1.1 599 Odd", "599 ok", "kept" },
  { "1.0 closes", line "HTTP/1.0 200 OK", "200 ok", "closed" },
  { "1.0 keeps alive if it says so", line "HTTP/1.0 200 OK\r\nConnection: keep-alive", "200 ok",
    "kept" },
  { "1.1 closes if it says so", line "HTTP/1.1 200 OK\r\nConnection: close", "200 ok", "closed" },
  { "close in a list", line "HTTP/1.1 200 OK\r\nConnection: x, CLOSE", "200 ok", "closed" },
  { "close wins in 1.0", line "HTTP/1.0 200 OK\r\nConnection: keep-alive, close", "200 ok",
    "closed" },
  { "close in the next line", line "HTTP/1.1 200 OK\r\nConnection: x,\r\n close", "200 ok",
    "closed" },
  { "close wins in two fields", line("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
    .. "Connection: close"), "200 ok", "closed" },
  { "1.2", line "HTTP/1.2 200 OK", "EPROTO", "closed" },
  { "0.9", line "HTTP/0.9 200 OK", "EPROTO", "closed" },
  { "2.0", line "HTTP/2.0 200 OK", "EPROTO", "closed" },
  { "2 without TLS", line "HTTP/2 200 OK", "EPROTO", "closed" },
  { "10.1", line "HTTP/10.1 200 OK", "EPROTO", "closed" },
  { "no digits", line "HTTP/x.y 200 OK", "EPROTO", "closed" },
  { "in lower case", line "http/1.1 200 OK", "EPROTO", "closed" },
  { "another protocol", line "ICY 200 OK", "EPROTO", "closed" },
  { "another protocol's greeting", "SSH-2.0-OpenSSH_9.2\r\n", "EPROTO", "closed" },
  { "two digits", line "HTTP/1.1 20 OK", "EPROTO", "closed" },
  { "four digits", line "HTTP/1.1 2000 OK", "EPROTO", "closed" },
  { "a status below 100", line "HTTP/1.1 099 OK", "EPROTO", "closed" },
  { "a status below 100 before a good one", "HTTP/1.1 099 x\r\n\r\n" .. with(), "EPROTO",
    "closed" },
  { "a sign", line "HTTP/1.1 +20 OK", "EPROTO", "closed" },
  { "no status", line "HTTP/1.1 OK", "EPROTO", "closed" },
  { "text behind the status", line "HTTP/1.1 200OK", "EPROTO", "closed" },
  { "two blanks", line "HTTP/1.1  200 OK", "EPROTO", "closed" },
  { "a tab", line "HTTP/1.1\t200 OK", "EPROTO", "closed" },
  { "a blank before", line " HTTP/1.1 200 OK", "EPROTO", "closed" },
  { "an empty line before", line "\r\nHTTP/1.1 200 OK", "EPROTO", "closed" },
}

groups["lengths"] = {
  { "as usual", ok "Content-Length: 2", "200 ok", "kept" },
  { "in lower case", ok "content-length:2", "200 ok", "kept" },
  { "blanks around", ok "Content-Length: \t 2 \t", "200 ok", "kept" },
  { "zeros before", ok "Content-Length: 0002", "200 ok", "kept" },
  { "nothing", response("200 OK", { "Content-Length: 0" }), "200 ", "kept" },
  { "the same twice", ok("Content-Length: 2", "Content-Length: 2"), "200 ok", "kept" },
  { "the same twice in one field", ok "Content-Length: 2, 2", "200 ok", "kept" },
  { "two that differ", ok("Content-Length: 2", "Content-Length: 4"), "EPROTO", "closed" },
  { "two that differ, the larger first", ok("Content-Length: 4", "Content-Length: 2"), "EPROTO",
    "closed" },
  { "two that differ in one field", ok "Content-Length: 2, 4", "EPROTO", "closed" },
  { "text behind", ok "Content-Length: 2x", "EPROTO", "closed" },
  { "a fraction", ok "Content-Length: 2.0", "EPROTO", "closed" },
  { "two numbers", ok "Content-Length: 2 2", "EPROTO", "closed" },
  { "a plus sign", ok "Content-Length: +2", "EPROTO", "closed" },
  { "a minus sign", ok "Content-Length: -2", "EPROTO", "closed" },
  { "hexadecimal", ok "Content-Length: 0x2", "EPROTO", "closed" },
  { "in quotes", ok 'Content-Length: "2"', "EPROTO", "closed" },
  { "empty", ok "Content-Length:", "EPROTO", "closed" },
  { "a comma alone", ok "Content-Length: 2,", "EPROTO", "closed" },
  { "twenty digits", ok "Content-Length: 99999999999999999999", "EPROTO", "closed" },
  { "2^64 and two", ok "Content-Length: 18446744073709551618", "EPROTO", "closed" },
  { "in two lines", ok "Content-Length:\r\n 2", "EPROTO", "closed" },
  { "more in the next line", ok "Content-Length: 2\r\n 2", "EPROTO", "closed" },
  { "a blank before the colon", ok "Content-Length : 2", "EPROTO", "closed" },
  { "more than it says", with() .. "more", "200 ok", "closed" },
  { "another response behind", with() .. with(), "200 ok", "closed" },
  { "a response behind nothing", response("200 OK", { "Content-Length: 0" }) .. with(), "200 ",
    "closed" },
}

groups["codings"] = {
  { "chunked", chunked("2\r\nok\r\n" .. LAST), "200 ok", "kept" },
  { "in capitals", response("200 OK", { "TRANSFER-ENCODING: CHUNKED" }, "2\r\nok\r\n" .. LAST),
    "200 ok", "kept" },
  { "blanks around", response("200 OK", { "Transfer-Encoding: \t chunked \t" },
    "2\r\nok\r\n" .. LAST), "200 ok", "kept" },
  { "with a length", chunked("2\r\nok\r\n" .. LAST, "Content-Length: 2"), "EPROTO", "closed" },
  { "behind a length", response("200 OK", { "Content-Length: 12", "Transfer-Encoding: chunked" },
    "2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "twice", chunked("2\r\nok\r\n" .. LAST, "Transfer-Encoding: chunked"), "EPROTO", "closed" },
  { "twice in one field", response("200 OK", { "Transfer-Encoding: chunked, chunked" },
    "2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "identity", ok "Transfer-Encoding: identity", "EPROTO", "closed", { ends = true } },
  { "identity with a length", with "Transfer-Encoding: identity", "EPROTO", "closed" },
  { "identity and chunked", response("200 OK", { "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked" }, "2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "gzip", ok "Transfer-Encoding: gzip", "EPROTO", "closed", { ends = true } },
  { "gzip, chunked", response("200 OK", { "Transfer-Encoding: gzip, chunked" },
    "2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a letter more", response("200 OK", { "Transfer-Encoding: chunkedx" }, "2\r\nok\r\n" .. LAST),
    "EPROTO", "closed" },
  { "a letter less", response("200 OK", { "Transfer-Encoding: chunke" }, "2\r\nok\r\n" .. LAST),
    "EPROTO", "closed" },
  { "a parameter", response("200 OK", { "Transfer-Encoding: chunked;a=b" },
    "2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "in quotes", response("200 OK", { 'Transfer-Encoding: "chunked"' }, "2\r\nok\r\n" .. LAST),
    "EPROTO", "closed" },
  { "a vertical tab", response("200 OK", { "Transfer-Encoding: \vchunked" },
    "2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "empty", ok("Transfer-Encoding:", "Content-Length: 2"), "EPROTO", "closed" },
  { "in two lines", response("200 OK", { "Transfer-Encoding:\r\n chunked" },
    "2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" .. LAST, "EPROTO",
    "closed" },
}

groups["chunk sizes and extensions"] = {
  { "two chunks", chunked("1\r\no\r\n1\r\nk\r\n" .. LAST), "200 ok", "kept" },
  { "no chunk but the last", chunked(LAST), "200 ", "kept" },
  { "hexadecimal", chunked("A\r\n0123456789\r\nb\r\n0123456789a\r\n" .. LAST),
    "200 01234567890123456789a", "kept" },
  { "zeros before", chunked("0002\r\nok\r\n000\r\n\r\n"), "200 ok", "kept" },
  { "blanks behind", chunked("2 \t\r\nok\r\n" .. LAST), "200 ok", "kept" },
  { "an extension", chunked("2;a=b\r\nok\r\n" .. LAST), "200 ok", "kept" },
  { "an extension of the last", chunked("2\r\nok\r\n0;a\r\n\r\n"), "200 ok", "kept" },
  { "extensions in quotes", chunked('2 ; a = "b;c" ;d\r\nok\r\n' .. LAST), "200 ok", "kept" },
  { "a line break in the data", chunked("4\r\no\r\nk\r\n" .. LAST), "200 o\r\nk", "kept" },
  { "no size", chunked("\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "an extension alone", chunked(";a\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "no number", chunked("x\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "text behind", chunked("2x\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a prefix", chunked("0x2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a sign", chunked("-2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a blank before", chunked(" 2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "two numbers", chunked("2 2\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "17 digits", chunked("00000000000000002\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "2^64 and two", chunked("10000000000000002\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "2^63", chunked("8000000000000000\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a bare LF behind the size", chunked("2\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a bare CR behind the size", chunked("2\rok\r\n" .. LAST), "EPROTO", "closed" },
  { "a bare LF in an extension", chunked("2;a\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a bare CR in an extension", chunked("2;a\rb\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a zero byte in an extension", chunked("2;a\0\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "data that is too long", chunked("2\r\nokay\r\n" .. LAST), "EPROTO", "closed" },
  { "data that is too short", chunked("4\r\nok\r\n" .. LAST), "EPROTO", "closed" },
  { "a bare LF behind the data", chunked("2\r\nok\n" .. LAST), "EPROTO", "closed" },
  { "a bare CR behind the data", chunked("2\r\nok\r0\r\n\r\n"), "EPROTO", "closed" },
  { "a byte in place of the LF behind the data", chunked("2\r\nok\rx" .. LAST), "EPROTO",
    "closed" },
  { "a byte in place of the CR behind the data", chunked("2\r\nok \n" .. LAST), "EPROTO",
    "closed" },
  { "a byte in place of the LF behind the size", chunked("2\rxok\r\n" .. LAST), "EPROTO",
    "closed" },
  { "a bare LF behind the last", chunked("2\r\nok\r\n0\n\r\n"), "EPROTO", "closed" },
  { "a response behind", chunked("2\r\nok\r\n" .. LAST) .. with(), "200 ok", "closed" },
  { "half a response behind", chunked("2\r\nok\r\n" .. LAST) .. "HTTP/1.1 2", "200 ok", "closed" },
}

groups["trailers"] = {
  { "one", chunked("2\r\nok\r\n0\r\nA: b\r\n\r\n"), "200 ok", "kept" },
  { "two", chunked("2\r\nok\r\n0\r\nA: b\r\nC:\r\n\r\n"), "200 ok", "kept" },
  { "behind nothing", chunked("0\r\nA: b\r\n\r\n"), "200 ", "kept" },
  { "one in two lines", chunked("2\r\nok\r\n0\r\nA: b\r\n c\r\n\r\n"), "200 ok", "kept" },
  { "Connection", chunked("2\r\nok\r\n0\r\nConnection: close\r\n\r\n"), "200 ok", "kept" },
  { "a length", chunked("2\r\nok\r\n0\r\nContent-Length: 2\r\n\r\n"), "EPROTO", "closed" },
  { "a coding", chunked("2\r\nok\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), "EPROTO", "closed" },
  { "no colon", chunked("2\r\nok\r\n0\r\nA\r\n\r\n"), "EPROTO", "closed" },
  { "no name", chunked("2\r\nok\r\n0\r\n: b\r\n\r\n"), "EPROTO", "closed" },
  { "a blank before the colon", chunked("2\r\nok\r\n0\r\nA : b\r\n\r\n"), "EPROTO", "closed" },
  { "a blank before the first", chunked("2\r\nok\r\n0\r\n A: b\r\n\r\n"), "EPROTO", "closed" },
  { "a bare LF", chunked("2\r\nok\r\n0\r\nA: b\n\r\n"), "EPROTO", "closed" },
  { "a bare CR", chunked("2\r\nok\r\n0\r\nA: b\rC: d\r\n\r\n"), "EPROTO", "closed" },
  { "a bare LF at the end", chunked("2\r\nok\r\n0\r\nA: b\r\n\n"), "EPROTO", "closed" },
  { "a zero byte", chunked("2\r\nok\r\n0\r\nA: \0\r\n\r\n"), "EPROTO", "closed" },
  { "a control character in the name", chunked("2\r\nok\r\n0\r\nA\1: b\r\n\r\n"), "EPROTO",
    "closed" },
  { "too many bytes", chunked("2\r\nok\r\n0\r\nA: " .. LONG .. "\r\n\r\n"), "EMSGSIZE", "closed",
    { max_head = 200 } },
}

local HINTS = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
local GO_ON = "HTTP/1.1 100 Continue\r\n\r\n"

groups["interim responses"] = {
  { "100", after(GO_ON), "200 ok", "kept" },
  { "102", after("HTTP/1.1 102 Processing\r\n\r\n"), "200 ok", "kept" },
  { "103", after(HINTS), "200 ok", "kept" },
  { "several", after(HINTS, GO_ON, HINTS), "200 ok", "kept" },
  { "199, which nobody knows", after("HTTP/1.1 199 x\r\n\r\n"), "200 ok", "kept" },
  { "before a 204", HINTS .. "HTTP/1.1 204 x\r\n\r\n", "204 ", "kept" },
  { "before a chunked one", HINTS .. chunked("2\r\nok\r\n" .. LAST), "200 ok", "kept" },
  { "close in it is for the final one", after("HTTP/1.1 103 x\r\nConnection: close\r\n\r\n"),
    "200 ok", "closed" },
  { "with a length", after("HTTP/1.1 103 x\r\nContent-Length: 0\r\n\r\n"), "EPROTO", "closed" },
  { "with a coding", after("HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n"), "EPROTO",
    "closed" },
  { "101", after("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "EPROTO", "closed" },
  { "a body", after(HINTS .. "x"), "EPROTO", "closed" },
  { "a bare LF", after("HTTP/1.1 103 x\nLink: a\r\n\r\n"), "EPROTO", "closed" },
  { "a field without a colon", after("HTTP/1.1 103 x\r\nLink\r\n\r\n"), "EPROTO", "closed" },
  { "and no more", HINTS, "EOF", "closed", { ends = true } },
  { "without end", GO_ON:rep(40), "EMSGSIZE", "closed", { max_head = 500 } },
}

groups["statuses without a body"] = {
  { "204", response("204 No Content", {}), "204 ", "kept" },
  { "204 with a length", response("204 No Content", { "Content-Length: 0" }), "204 ", "kept" },
  { "204 with the length of something", response("204 x", { "Content-Length: 9" }), "204 ",
    "kept" },
  { "204 that closes", response("204 x", { "Connection: close" }), "204 ", "closed" },
  { "204 with a body", response("204 x", { "Content-Length: 2" }, "ok"), "204 ", "closed" },
  { "204 with chunks", response("204 x", { "Transfer-Encoding: chunked" }, LAST), "204 ",
    "closed" },
  { "204 with a response behind", response("204 x", {}) .. with(), "204 ", "closed" },
  { "304", response("304 Not Modified", {}), "304 ", "kept" },
  { "304 with a length", response("304 x", { "Content-Length: 9" }), "304 ", "kept" },
  { "304 with a coding", response("304 x", { "Transfer-Encoding: chunked" }), "304 ", "kept" },
  { "304 with a body", response("304 x", { "Content-Length: 2" }, "ok"), "304 ", "closed" },
  { "304 with lengths that differ", response("304 x", { "Content-Length: 2",
    "Content-Length: 4" }), "EPROTO", "closed" },
  { "HEAD", response("200 OK", { "Content-Length: 9" }), "200 ", "kept", { method = "HEAD" } },
  { "HEAD without a length", response("200 OK", {}), "200 ", "kept", { method = "HEAD" } },
  { "HEAD of chunks", response("200 OK", { "Transfer-Encoding: chunked" }), "200 ", "kept",
    { method = "HEAD" } },
  { "HEAD with a body", with(), "200 ", "closed", { method = "HEAD" } },
  { "HEAD with a response behind", response("200 OK", {}) .. with(), "200 ", "closed",
    { method = "HEAD" } },
  { "HEAD in 1.0", "HTTP/1.0 200 OK\r\n\r\n", "200 ", "closed", { method = "HEAD" } },
  { "205 has one", response("205 x", { "Content-Length: 2" }, "ok"), "205 ok", "kept" },
  { "404 has one", response("404 x", { "Content-Length: 2" }, "ok"), "404 ok", "kept" },
}

groups["control characters"] = {
  { "a tab in a value", with "X: a\tb", "200 ok", "kept" },
  { "bytes beyond ASCII in a value", with "X: \x80\xff", "200 ok", "kept" },
  { "a value in two lines", with "X: a\r\n  b", "200 ok", "kept" },
  { "a value that begins in the second line", with "X:\r\n\tb", "200 ok", "kept" },
  { "an empty value", with "X:", "200 ok", "kept" },
  { "a bare CR makes no field", with "X: a\rInjected: b", "EPROTO", "closed" },
  { "CR CR LF", with "X: a\r", "EPROTO", "closed" },
  { "a bare LF", with "X: a\nInjected: b", "EPROTO", "closed" },
  { "a zero byte in a value", with "X: a\0b", "EPROTO", "closed" },
  { "a zero byte in a name", with "X\0: a", "EPROTO", "closed" },
  { "a zero byte before a name", with "\0X: a", "EPROTO", "closed" },
  { "a zero byte before the length", ok("\0", "Content-Length: 2"), "EPROTO", "closed" },
  { "a zero byte before the empty line", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\0\r\n\r\nok",
    "EPROTO", "closed" },
  { "a zero byte before the status line", "\0" .. with(), "EPROTO", "closed" },
  { "a zero byte before an interim one", "HTTP/1.1 103 x\r\n\r\n\0HTTP/1.1 103 x\r\n\r\n" .. with(),
    "EPROTO", "closed" },
  { "a body of zero bytes", response("200 OK", { "Content-Length: 4" }, "\0\n\0\0"),
    "200 \0\n\0\0", "kept" },
  { "a zero byte in a length", ok "Content-Length: 2\0", "EPROTO", "closed" },
  { "an escape in a value", with "X: \27[0m", "EPROTO", "closed" },
  { "a form feed in a value", with "X: a\fb", "EPROTO", "closed" },
  { "DEL in a value", with "X: a\127", "EPROTO", "closed" },
  { "DEL in a name", with "X\127: a", "EPROTO", "closed" },
  { "a tab in a name", with "X\t: a", "EPROTO", "closed" },
  { "a blank in a name", with "X Y: a", "EPROTO", "closed" },
  { "a byte beyond ASCII in a name", with "\xc3\xbc: a", "EPROTO", "closed" },
  { "brackets in a name", with "X[1]: a", "EPROTO", "closed" },
  { "no name", with ": a", "EPROTO", "closed" },
  { "no colon", with "X", "EPROTO", "closed" },
  { "the first line goes on", ok(" x", "Content-Length: 2"), "EPROTO", "closed" },
  { "a zero byte in the reason", line "HTTP/1.1 200 O\0K", "EPROTO", "closed" },
  { "a bare CR in the reason", line "HTTP/1.1 200 O\rK", "EPROTO", "closed" },
  { "a bare LF behind the reason", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", "EPROTO",
    "closed" },
  { "a bare LF behind the head", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok", "EPROTO",
    "closed" },
}

--- So many fields.
local function many(n)
  local fields = {}
  for i = 1, n do
    fields[i] = "X: " .. i
  end
  return with(table.unpack(fields))
end

groups["limits"] = {
  { "999 fields and the length", many(999), "200 ok", "kept" },
  { "1000 fields and the length", many(1000), "EMSGSIZE", "closed" },
  { "a head as long as it may be", with("X: " .. ("a"):rep(160)), "200 ok", "kept",
    { max_head = 203 } },
  { "one byte longer", with("X: " .. ("a"):rep(161)), "EMSGSIZE", "closed", { max_head = 203 } },
  { "a head and trailers of that length each", chunked("2\r\nok\r\n0\r\nA: " .. ("a"):rep(150)
    .. "\r\n\r\n", "X: " .. ("a"):rep(140)), "200 ok", "kept", { max_head = 210 } },
  { "a long reason", line("HTTP/1.1 200 " .. LONG), "EMSGSIZE", "closed", { max_head = 200 } },
  { "a long value", with("X: " .. LONG), "EMSGSIZE", "closed", { max_head = 200 } },
  { "a long name", with(LONG .. ": x"), "EMSGSIZE", "closed", { max_head = 200 } },
  { "many short fields", many(40), "EMSGSIZE", "closed", { max_head = 200 } },
  { "many short lines of one field", with("X: a" .. ("\r\n b"):rep(60)), "EMSGSIZE", "closed",
    { max_head = 200 } },
  { "a line of 110 kB", with("X: " .. ("a"):rep(110000)), "EMSGSIZE", "closed" },
  { "a line without end", "HTTP/1.1 200 OK\r\nX: " .. ("a"):rep(300000), "EMSGSIZE", "closed" },
  { "interim heads count", after(HINTS, HINTS, HINTS, HINTS), "EMSGSIZE", "closed",
    { max_head = 150 } },
  { "a long extension", chunked("2;" .. ("a"):rep(600) .. "\r\nok\r\n" .. LAST), "EMSGSIZE",
    "closed", { max_head = 200 } },
  { "long extensions of short chunks", chunked(("1;" .. ("a"):rep(60) .. "\r\no\r\n"):rep(30)
    .. LAST), "EMSGSIZE", "closed", { max_head = 200 } },
  { "extensions that are usual", chunked(("1;a=b\r\no\r\n"):rep(300) .. LAST),
    "200 " .. ("o"):rep(300), "kept", { max_head = 200 } },
}

groups["ends"] = {
  { "a body up to the end", response("200 OK", {}, "ok"), "200 ok", "closed", { ends = true } },
  { "nothing up to the end", response("200 OK", {}), "200 ", "closed", { ends = true } },
  { "a body up to the end in 1.0", "HTTP/1.0 200 OK\r\n\r\nok", "200 ok", "closed",
    { ends = true } },
  { "a head with a body up to the end looks like one", response("200 OK", {}, with()),
    "200 " .. with(), "closed", { ends = true } },
  { "nothing at all", "", "EOF", "closed", { ends = true } },
  { "in the status line", "HTTP/1.1 20", "EOF", "closed", { ends = true } },
  { "behind the status line", "HTTP/1.1 200 OK\r\n", "EOF", "closed", { ends = true } },
  { "in a field", "HTTP/1.1 200 OK\r\nContent-Le", "EOF", "closed", { ends = true } },
  { "behind a field", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "EOF", "closed",
    { ends = true } },
  { "in the last line", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r", "EOF", "closed",
    { ends = true } },
  { "before the body", response("200 OK", { "Content-Length: 2" }), "EOF", "closed",
    { ends = true } },
  { "in the body", response("200 OK", { "Content-Length: 3" }, "ok"), "EOF", "closed",
    { ends = true } },
  { "in a redirection", "HTTP/1.1 302 Found\r\nLocation: /else", "EOF", "closed", { ends = true } },
  { "before a chunk", chunked(""), "EOF", "closed", { ends = true } },
  { "in a chunk's size", chunked("2"), "EOF", "closed", { ends = true } },
  { "in a chunk", chunked("3\r\nok"), "EOF", "closed", { ends = true } },
  { "behind a chunk", chunked("2\r\nok\r\n"), "EOF", "closed", { ends = true } },
  { "behind the last chunk", chunked("2\r\nok\r\n0\r\n"), "EOF", "closed", { ends = true } },
  { "in a trailer", chunked("2\r\nok\r\n0\r\nA: b"), "EOF", "closed", { ends = true } },
}

return groups
