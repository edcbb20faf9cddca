// SPDX-License-Identifier: MIT
module ctx.bench/peers/go

go 1.23
