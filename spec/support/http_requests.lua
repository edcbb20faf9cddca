-- SPDX-License-Identifier: MIT
--- Requests, byte by byte as a client may send them, each with the answers that are due and with
--- what becomes of the connection.
---
--- A row: a name; the bytes; the answers, as `status body`, where the body of a refusal is left
--- out; and the connection afterwards: "open" for the next request, "closed", or "lingers": our
--- side is closed, and what the client still sends is read for a while, so that no reset takes the
--- answer away (RFC 9112, 9.6).
---
--- The handler answers with the method, the target, the Host and the body, in brackets; "/unread"
--- is answered without a look at the body.

--- The head of a request.
local function head(...)
  return table.concat({ ... }, "\r\n") .. "\r\n\r\n"
end

--- The head of a POST with these fields.
local function post(...)
  return head("POST / HTTP/1.1", "Host: h", ...)
end

--- A GET with these fields.
local function get(...)
  return head("GET / HTTP/1.1", "Host: h", ...)
end

local function chunked(body)
  return post("Transfer-Encoding: chunked") .. body
end

local GET, POST = "200 GET / h []", "200 POST / h "
local AGAIN = head("GET /2 HTTP/1.1", "Host: h")
local SECOND = "200 GET /2 h []"
local LONG = ("a"):rep(300)

local groups = {}

groups["versions and what they keep open"] = {
  { "1.1 keeps alive", get(), { GET }, "open" },
  { "1.1 closes when asked", get("Connection: close"), { GET }, "closed" },
  { "close wins", get("Connection: keep-alive, close"), { GET }, "closed" },
  { "close wins in two fields", get("Connection: close", "Connection: keep-alive"),
    { GET }, "closed" },
  { "close in capitals", get("Connection: CLOSE"), { GET }, "closed" },
  { "1.0 closes", head("GET / HTTP/1.0"), { "200 GET / nil []" }, "closed" },
  { "1.0 keeps alive when asked", head("GET / HTTP/1.0", "Connection: keep-alive"),
    { "200 GET / nil []" }, "open" },
  { "1.0 with a Host", head("GET / HTTP/1.0", "Host: h"), { GET }, "closed" },
  { "0.9", "GET /\r\n", { "400" }, "lingers" },
  { "0.9 by name", head("GET / HTTP/0.9"), { "505" }, "lingers" },
  { "1.2", head("GET / HTTP/1.2", "Host: h"), { "505" }, "lingers" },
  { "2.0", head("GET / HTTP/2.0", "Host: h"), { "505" }, "lingers" },
  { "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", { "505" }, "lingers" },
  { "no number", head("GET / HTTP/x.y", "Host: h"), { "505" }, "lingers" },
  { "one digit", head("GET / HTTP/1", "Host: h"), { "400" }, "lingers" },
  { "in lower case", head("GET / http/1.1", "Host: h"), { "400" }, "lingers" },
  { "another protocol", head("GET / RTSP/1.0", "Host: h"), { "400" }, "lingers" },
  { "another protocol's method", head("DESCRIBE / HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", { "400" }, "lingers" },
}

groups["request lines"] = {
  { "empty lines before", "\r\n\r\n" .. get(), { GET }, "open" },
  { "an unknown method", head("BREW / HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "a method in lower case", head("get / HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "a tab", head("GET\t/ HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "two blanks before the target", head("GET  / HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "two blanks behind it", head("GET /  HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "a blank at the end", head("GET / HTTP/1.1 ", "Host: h"), { "400" }, "lingers" },
  { "a blank at the begin", " " .. get(), { "400" }, "lingers" },
  { "no target", head("GET HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "a zero byte", head("GET /\0 HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "a byte beyond ASCII", head("GET /\xe9 HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "a bare LF", "GET / HTTP/1.1\nHost: h\r\n\r\n", { "400" }, "lingers" },
  { "a bare LF before", "\n" .. get(), { "400" }, "lingers" },
  { "a bare CR before", "\r" .. get(), { "400" }, "lingers" },
  { "CR CR LF", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", { "400" }, "lingers" },
  { "a long target", head("GET /" .. LONG .. " HTTP/1.1", "Host: h"), { "414" }, "lingers" },
}

groups["targets"] = {
  { "a query", head("GET /a?b=c HTTP/1.1", "Host: h"), { "200 GET /a?b=c h []" }, "open" },
  { "a fragment", head("GET /a#b HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "an invalid escape", head("GET /%zz HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "half an escape", head("GET /%4 HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "an invalid escape in the query", head("GET /?a=%zz HTTP/1.1", "Host: h"),
    { "200 GET /?a=%zz h []" }, "open" },
  { "absolute-form: its host counts", head("GET http://o:1/p?q HTTP/1.1", "Host: h"),
    { "200 GET http://o:1/p?q o:1 []" }, "open" },
  { "absolute-form without a path", head("GET http://o?q HTTP/1.1", "Host: h"),
    { "200 GET http://o?q o []" }, "open" },
  { "absolute-form without a host", head("GET http:///p HTTP/1.1", "Host: h"), { "400" },
    "lingers" },
  { "absolute-form with a user", head("GET http://u@o/ HTTP/1.1", "Host: h"),
    { "400" }, "lingers" },
  { "absolute-form with what no Host holds", head("GET http://o|p/ HTTP/1.1", "Host: h"),
    { "400" }, "lingers" },
  { "authority-form", head("GET o:80 HTTP/1.1", "Host: h"), { "400" }, "lingers" },
  { "authority-form for CONNECT", head("CONNECT o:80 HTTP/1.1", "Host: h"),
    { "200 CONNECT o:80 h []" }, "closed" },
  { "a CONNECT with something else behind it", head("CONNECT o:80 HTTP/1.1", "Host: h")
    .. "abc", { "200 CONNECT o:80 h []" }, "lingers" },
  { "a CONNECT with a body", head("CONNECT o:80 HTTP/1.1", "Host: h", "Content-Length: 18")
    .. "GET / HTTP/1.1\r\n\r\n", { "400" }, "lingers" },
  { "asterisk-form for OPTIONS", head("OPTIONS * HTTP/1.1", "Host: h"),
    { "200" }, "open" },
  { "asterisk-form for GET", head("GET * HTTP/1.1", "Host: h"), { "400" }, "lingers" },
}

groups["header fields"] = {
  { "no Host", head("GET / HTTP/1.1"), { "400" }, "lingers" },
  { "two Hosts", get("Host: h"), { "400" }, "lingers" },
  { "an empty Host", head("GET / HTTP/1.1", "Host:"), { "200 GET /  []" }, "open" },
  { "a Host with a port", head("GET / HTTP/1.1", "Host: [::1]:80"), { "200 GET / [::1]:80 []" },
    "open" },
  { "a Host with a blank", head("GET / HTTP/1.1", "Host: a b"), { "400" }, "lingers" },
  { "a Host with a path", head("GET / HTTP/1.1", "Host: a/b"), { "400" }, "lingers" },
  { "a Host with a user", head("GET / HTTP/1.1", "Host: a@b"), { "400" }, "lingers" },
  { "two hosts in one Host in 1.0", head("GET / HTTP/1.0", "Host: h", "Host: h"), { "400" },
    "lingers" },
  { "blanks around a value", head("GET / HTTP/1.1", "Host: \t h \t "), { GET }, "open" },
  { "no blank", head("GET / HTTP/1.1", "Host:h"), { GET }, "open" },
  { "bytes beyond ASCII", get("X: \xe9"), { GET }, "open" },
  { "a blank before the colon", head("GET / HTTP/1.1", "Host : h"), { "400" }, "lingers" },
  { "a blank before the name", head("GET / HTTP/1.1", " Host: h"), { "400" }, "lingers" },
  { "no colon", get("foo"), { "400" }, "lingers" },
  { "no name", get(": foo"), { "400" }, "lingers" },
  { "no name first", head("GET / HTTP/1.1", ": foo", "Host: h"), { "400" }, "lingers" },
  { "a name with parentheses", get("a(b): c"), { "400" }, "lingers" },
  { "a zero byte in a name", get("X\0: y"), { "400" }, "lingers" },
  { "a zero byte in a value", get("X: a\0b"), { "400" }, "lingers" },
  { "DEL in a value", get("X: a\127b"), { "400" }, "lingers" },
  -- RFC 9112, 5.2 leaves the choice: it is rejected.
  { "a folded line", get("X: a\r\n b"), { "400" }, "lingers" },
  { "a folded line with a tab", get("X: a\r\n\tb"), { "400" }, "lingers" },
  { "a folded line after nothing", get("X:\r\n b"), { "400" }, "lingers" },
  { "a bare LF", "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", { "400" }, "lingers" },
  { "a bare CR in a value", get("X: a\rb"), { "400" }, "lingers" },
  { "a bare CR before a name", get("X: a\rContent-Length: 5"), { "400" }, "lingers" },
  { "a bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n", { "400" }, "lingers" },
  { "CR CR LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\r\r\n", { "400" }, "lingers" },
  { "only line feeds", "GET / HTTP/1.1\nHost: h\n\n", { "400" }, "lingers" },
  { "a long value", get("X: " .. LONG), { "431" }, "lingers" },
  { "a long name", get(LONG .. ": x"), { "431" }, "lingers" },
  { "many", get(("X: y\r\n"):rep(11) .. "Z: z"), { "431" }, "lingers" },
  { "as many as may be", get(("X: y\r\n"):rep(8) .. "Z: z"), { GET }, "open" },
}

groups["Content-Length"] = {
  { "0", post("Content-Length: 0"), { POST .. "[]" }, "open" },
  { "3", post("Content-Length: 3") .. "abc", { POST .. "[abc]" }, "open" },
  { "with zeros and blanks", post("Content-Length:  003 ") .. "abc", { POST .. "[abc]" }, "open" },
  { "with GET", get("Content-Length: 3") .. "abc", { "200 GET / h [abc]" }, "open" },
  { "in 1.0", head("POST / HTTP/1.0", "Host: h", "Content-Length: 3") .. "abc", { POST .. "[abc]" },
    "closed" },
  { "nothing", post("Content-Length:"), { "400" }, "lingers" },
  { "+3", post("Content-Length: +3") .. "abc", { "400" }, "lingers" },
  { "-3", post("Content-Length: -3") .. "abc", { "400" }, "lingers" },
  { "0x3", post("Content-Length: 0x3") .. "abc", { "400" }, "lingers" },
  { "3.0", post("Content-Length: 3.0") .. "abc", { "400" }, "lingers" },
  { "3 3", post("Content-Length: 3 3") .. "abc", { "400" }, "lingers" },
  { "3, 3", post("Content-Length: 3, 3") .. "abc", { "400" }, "lingers" },
  { "twice the same", post("Content-Length: 3", "Content-Length: 3") .. "abc",
    { "400" }, "lingers" },
  { "two", post("Content-Length: 3", "Content-Length: 4") .. "abc", { "400" }, "lingers" },
  { "over 2^64", post("Content-Length: 18446744073709551619") .. "abc", { "400" }, "lingers" },
  { "over the limit", post("Content-Length: 101"), { "413" }, "lingers" },
  { "2^63", post("Content-Length: 9223372036854775808"), { "413" }, "lingers" },
  { "at the limit", post("Content-Length: 100") .. ("x"):rep(100),
    { POST .. "[" .. ("x"):rep(100) .. "]" }, "open" },
}

groups["Transfer-Encoding"] = {
  { "chunked", chunked("3\r\nabc\r\n0\r\n\r\n"), { POST .. "[abc]" }, "open" },
  { "nothing in chunks", chunked("0\r\n\r\n"), { POST .. "[]" }, "open" },
  { "Chunked", post("Transfer-Encoding: Chunked") .. "0\r\n\r\n", { POST .. "[]" }, "open" },
  { "a tab before", post("Transfer-Encoding:\tchunked") .. "0\r\n\r\n", { POST .. "[]" }, "open" },
  { "a tab behind", post("Transfer-Encoding: chunked\t") .. "0\r\n\r\n", { "400" }, "lingers" },
  { "a vertical tab before", post("Transfer-Encoding: \vchunked") .. "0\r\n\r\n", { "400" },
    "lingers" },
  { "folded", post("Transfer-Encoding:\r\n chunked") .. "0\r\n\r\n", { "400" }, "lingers" },
  { "xchunked", post("Transfer-Encoding: xchunked") .. "0\r\n\r\n", { "501" }, "lingers" },
  { "gzip, chunked", post("Transfer-Encoding: gzip, chunked") .. "0\r\n\r\n",
    { "501" }, "lingers" },
  { "identity", post("Transfer-Encoding: identity"), { "400 501" }, "lingers" },
  { "chunked, chunked", post("Transfer-Encoding: chunked, chunked"), { "400 501" }, "lingers" },
  { "chunked, identity", post("Transfer-Encoding: chunked, identity"), { "400 501" }, "lingers" },
  { "twice", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    { "400" }, "lingers" },
  { "before Content-Length", post("Transfer-Encoding: chunked", "Content-Length: 5")
    .. "0\r\n\r\n", { "400" }, "lingers" },
  { "behind Content-Length", post("Content-Length: 5", "Transfer-Encoding: chunked")
    .. "0\r\n\r\n", { "400" }, "lingers" },
  { "in 1.0", head("POST / HTTP/1.0", "Host: h", "Transfer-Encoding: chunked") .. "0\r\n\r\n",
    { "400" }, "lingers" },
}

groups["chunks"] = {
  { "several", chunked("3\r\nabc\r\n1\r\nd\r\n000A\r\n0123456789\r\n0\r\n\r\n"),
    { POST .. "[abcd0123456789]" }, "open" },
  { "sizes in both cases", chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    { POST .. "[01234567890123456789]" }, "open" },
  { "a trailer", chunked("3\r\nabc\r\n0\r\nX: y\r\n\r\n"), { POST .. "[abc] x=y" }, "open" },
  { "nothing and a trailer", chunked("0\r\nX: y\r\n\r\n"), { POST .. "[] x=y" }, "open" },
  { "a Content-Length in the trailer", chunked("0\r\nX: y\r\nContent-Length: 9\r\n\r\n"),
    { "400" }, "lingers" },
  { "a Transfer-Encoding in the trailer", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    { "400" }, "lingers" },
  { "a Host in the trailer", chunked("0\r\nX: y\r\nHost: o\r\n\r\n"),
    { POST .. "[] x=y" }, "open" },
  { "a zero byte in the trailer", chunked("0\r\nX: a\0b\r\n\r\n"), { "400" }, "lingers" },
  { "a folded trailer", chunked("0\r\nX: y\r\n z\r\n\r\n"), { "400" }, "lingers" },
  { "a bare LF after a trailer", chunked("0\r\nX: y\n\r\n"), { "400" }, "lingers" },
  { "a bare LF after the trailers", chunked("3\r\nabc\r\n0\r\nX: y\r\n\n"), { "400" }, "lingers" },
  { "a bare LF after no trailer", chunked("3\r\nabc\r\n0\r\n\n"), { "400" }, "lingers" },
  { "a trailer and another request", chunked("3\r\nabc\r\n0\r\nX: y\r\n\r\n") .. AGAIN,
    { POST .. "[abc] x=y", SECOND }, "open" },
  { "a trailer without a name", chunked("0\r\n: y\r\n\r\n"), { "400" }, "lingers" },
  { "a long trailer", chunked("0\r\nX: " .. LONG .. LONG .. "\r\n\r\n"), { "431" }, "lingers" },
  { "many trailers", chunked("0\r\n" .. ("X: y\r\n"):rep(12) .. "\r\n"), { "431" }, "lingers" },
  { "a size of 16 digits", chunked("0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n"),
    { POST .. "[abc]" }, "open" },
  { "a size of 17 digits", chunked("00000000000000003\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a last size of 17 digits", chunked("3\r\nabc\r\n00000000000000000\r\n\r\n"), { "400" },
    "lingers" },
  { "zeros without end", chunked(("0"):rep(300)), { "400" }, "lingers" },
  { "no size", chunked("\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "3g", chunked("3g\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "0x3", chunked("0x3\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "-3", chunked("-3\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "+3", chunked("+3\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a blank before the size", chunked(" 3\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a size over 2^64", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a size over the limit", chunked("ffffffffffffffff\r\n" .. LONG), { "413" }, "lingers" },
  { "many over the limit", chunked(("a\r\n0123456789\r\n"):rep(11) .. "0\r\n\r\n"), { "413" },
    "lingers" },
  { "LF after the size", chunked("3\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "LF after the bytes", chunked("3\r\nabc\n0\r\n\r\n"), { "400" }, "lingers" },
  { "nothing after the bytes", chunked("3\r\nabc0\r\n\r\n"), { "400" }, "lingers" },
  { "too many bytes", chunked("3\r\nabcde\r\n0\r\n\r\n"), { "400" }, "lingers" },
}

groups["chunk extensions that are ignored"] = {
  { "an extension", chunked("3;a=b\r\nabc\r\n0\r\n\r\n"), { POST .. "[abc]" }, "open" },
  { "an extension in quotes", chunked('3;a="b c"\r\nabc\r\n0\r\n\r\n'),
    { POST .. "[abc]" }, "open" },
  { "several extensions", chunked('3;a=b;c=d\r\nabc\r\n0;e;f="g"\r\n\r\n'),
    { POST .. "[abc]" }, "open" },
  { "an extension without a value", chunked("3;a\r\nabc\r\n0\r\n\r\n"),
    { POST .. "[abc]" }, "open" },
  { "one and one without", chunked("3;a=b;c\r\nabc\r\n0\r\n\r\n"), { POST .. "[abc]" }, "open" },
  { "a quote in quotes", chunked('3;a="b\\"c;\\\\"\r\nabc\r\n0\r\n\r\n'),
    { POST .. "[abc]" }, "open" },
  { "a semicolon and an end in quotes", chunked('3;a="b;c=\td"\r\nabc\r\n0\r\n\r\n'),
    { POST .. "[abc]" }, "open" },
  { "nothing in quotes", chunked('3;a=""\r\nabc\r\n0\r\n\r\n'), { POST .. "[abc]" }, "open" },
  { "a byte beyond ASCII in quotes", chunked('3;a="\xe4"\r\nabc\r\n0\r\n\r\n'),
    { POST .. "[abc]" }, "open" },
  { "blanks around all", chunked('3 \t; a = b ; c\t=\t"d" ;e\r\nabc\r\n0 ;a\r\n\r\n'),
    { POST .. "[abc]" }, "open" },
  { "an extension and another request", chunked("3;a=b;c\r\nabc\r\n0;x\r\nX: y\r\n\r\n") .. AGAIN,
    { POST .. "[abc] x=y", SECOND }, "open" },
  { "extensions as long as the body", chunked(("a;a=01234567\r\n0123456789\r\n"):rep(10)
    .. "0;" .. ("a"):rep(230) .. "\r\n\r\n"), { POST .. "[" .. ("0123456789"):rep(10) .. "]" },
    "open" },
}

groups["chunk extensions that are refused"] = {
  { "a blank behind the size", chunked("3 \r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a blank behind an extension", chunked("3;a \r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a blank behind a value", chunked("3;a=b \r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "an extension without a name", chunked("3;\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "two semicolons", chunked("3;;a\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a value without a name", chunked("3;=b\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "an equals sign without a value", chunked("3;a=\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "two words", chunked("3;a b\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "two values", chunked("3;a=b=c\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "open quotes", chunked('3;a="b\r\nabc\r\n0\r\n\r\n'), { "400" }, "lingers" },
  { "a break in quotes", chunked('3;a="b\\\r\n"\r\nabc\r\n0\r\n\r\n'), { "400" }, "lingers" },
  { "a bare CR in quotes", chunked('3;a="\rb"\r\nabc\r\n0\r\n\r\n'), { "400" }, "lingers" },
  { "a bare LF in quotes", chunked('3;a="\nb"\r\nabc\r\n0\r\n\r\n'), { "400" }, "lingers" },
  { "a zero byte in quotes", chunked('3;a="\0"\r\nabc\r\n0\r\n\r\n'), { "400" }, "lingers" },
  { "something behind quotes", chunked('3;a="b"c\r\nabc\r\n0\r\n\r\n'), { "400" }, "lingers" },
  { "quotes for a name", chunked('3;"a"=b\r\nabc\r\n0\r\n\r\n'), { "400" }, "lingers" },
  { "a comma", chunked("3,a\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "CR and another byte behind the size", chunked("3\rxabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "long extensions together", chunked(("1;a=" .. LONG:sub(1, 40) .. "\r\nx\r\n"):rep(9)
    .. "0\r\n\r\n"), { "400" }, "lingers" },
  { "CR in an extension", chunked("3;a\rabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "LF in an extension", chunked("3;a\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a zero byte in an extension", chunked("3;a\0=b\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
  { "a long extension", chunked("3;" .. LONG .. "\r\nabc\r\n0\r\n\r\n"), { "400" }, "lingers" },
}

groups["one behind the other"] = {
  { "two", get() .. AGAIN, { GET, SECOND }, "open" },
  { "with a body", post("Content-Length: 3") .. "abc" .. AGAIN,
    { POST .. "[abc]", SECOND }, "open" },
  { "with chunks", chunked("3\r\nabc\r\n0\r\n\r\n") .. AGAIN, { POST .. "[abc]", SECOND }, "open" },
  { "with a body that nobody reads", head("POST /unread HTTP/1.1", "Host: h", "Content-Length: 3")
    .. "abc" .. AGAIN, { "200 unread", SECOND }, "open" },
  { "with chunks that nobody reads", head("POST /unread HTTP/1.1", "Host: h",
    "Transfer-Encoding: chunked") .. "3\r\nabc\r\n0\r\n\r\n" .. AGAIN, { "200 unread", SECOND },
    "open" },
  { "with bad chunks that nobody reads", head("POST /unread HTTP/1.1", "Host: h",
    "Transfer-Encoding: chunked") .. "3\r\nabcd", { "200 unread" }, "lingers" },
  { "empty lines in between", get() .. "\r\n\r\n" .. AGAIN, { GET, SECOND }, "open" },
  { "a bad one behind", get() .. "GARBAGE\r\n\r\n" .. AGAIN, { GET, "400" }, "lingers" },
  { "a bad one in the middle", get() .. head("GET / HTTP/1.1") .. AGAIN,
    { GET, "400" }, "lingers" },
  { "behind a close", get("Connection: close") .. AGAIN, { GET }, "lingers" },
  { "behind 1.0", head("GET / HTTP/1.0", "Host: h") .. AGAIN, { GET }, "lingers" },
  { "behind an upgrade that nobody wants", get("Connection: Upgrade", "Upgrade: x") .. AGAIN,
    { GET, SECOND }, "open" },
  { "behind a body with an upgrade", post("Connection: Upgrade", "Upgrade: x", "Content-Length: 3")
    .. "abc" .. AGAIN, { POST .. "[abc]", SECOND }, "open" },
  { "HEAD in the middle", get() .. head("HEAD / HTTP/1.1", "Host: h") .. AGAIN,
    { GET, "HEAD 200 ", SECOND }, "open" },
  { "204 in the middle", get() .. head("GET /204 HTTP/1.1", "Host: h") .. AGAIN,
    { GET, "204 ", SECOND }, "open" },
  { "304 in the middle", get() .. head("GET /304 HTTP/1.1", "Host: h") .. AGAIN,
    { GET, "304 ", SECOND }, "open" },
}

groups["Expect"] = {
  { "100-continue, body behind", post("Expect: 100-continue", "Content-Length: 3") .. "abc",
    { "100?", POST .. "[abc]" }, "open" },
  { "100-Continue", post("Expect: 100-Continue", "Content-Length: 3") .. "abc",
    { "100?", POST .. "[abc]" }, "open" },
  { "100-continue without a body", get("Expect: 100-continue"), { GET }, "open" },
  { "100-continue in 1.0", head("POST / HTTP/1.0", "Host: h", "Expect: 100-continue",
    "Content-Length: 3") .. "abc", { POST .. "[abc]" }, "closed" },
  { "something else", get("Expect: tea"), { "417" }, "lingers" },
  { "something else with a body", post("Expect: tea", "Content-Length: 3") .. "abc", { "417" },
    "lingers" },
  { "something else in 1.0", head("GET / HTTP/1.0", "Host: h", "Expect: tea"), { GET }, "closed" },
  { "100-continue with chunks", post("Expect: 100-continue", "Transfer-Encoding: chunked")
    .. "3\r\nabc\r\n0\r\n\r\n", { "100?", POST .. "[abc]" }, "open" },
  { "100-continue twice", post("Expect: 100-continue", "Expect: 100-continue",
    "Content-Length: 3") .. "abc", { "100?", POST .. "[abc]" }, "open" },
  { "100-continue among nothing", post("Expect: ,\t100-continue ,,", "Content-Length: 3") .. "abc",
    { "100?", POST .. "[abc]" }, "open" },
  { "100-continue and something else", post("Expect: 100-continue, tea", "Content-Length: 3")
    .. "abc", { "417" }, "lingers" },
  { "100-continue and another request", post("Expect: 100-continue", "Content-Length: 3") .. "abc"
    .. AGAIN, { "100?", POST .. "[abc]", SECOND }, "open" },
  { "nothing", get("Expect:"), { GET }, "open" },
  { "nothing but commas", get("Expect: , ,"), { GET }, "open" },
  { "100-continue over the limit", post("Expect: 100-continue", "Content-Length: 101"), { "413" },
    "lingers" },
}

--- The limits that the rows go by.
local LIMITS = { max_target = 200, max_head = 250, max_headers = 10, max_body = 100 }

local function handler(req, res)
  local status = req.path:match("^/([23]%d%d)$")
  if status then
    res.status = math.tointeger(status)
    return
  elseif req.path == "/unread" then
    return res:finish(req.ctx, "unread")
  end
  local body, err = req:body()
  if not body then
    return nil, err
  end
  local trailer = req.trailers and req.trailers.x
  res:finish(req.ctx, ("%s %s %s [%s]%s"):format(req.method, req.target,
    tostring(req.headers.host), body, trailer and " x=" .. trailer or ""))
end

return { groups = groups, limits = LIMITS, handler = handler }
