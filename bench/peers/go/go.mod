// SPDX-License-Identifier: MIT
module ctx.bench/peers/go

go 1.23

// Debian's golang-golang-x-sync-dev: no network is asked for a module.
require golang.org/x/sync v0.1.0

replace golang.org/x/sync => /usr/share/gocode/src/golang.org/x/sync
