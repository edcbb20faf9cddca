// SPDX-License-Identifier: MIT

// The benchmark rows of ctx, done by Go's own context package: the other side
// of the table that bench/run.lua prints.
//
//	peer list          the names of the rows, one a line
//	peer ROW [SCALE]   runs one row; SCALE (1 by default) multiplies its size
//	peer serve PORT    W11: the server, for bench/http/drive.lua
//
// A row prints one or more lines: name figure [live_bytes rss_bytes]; the figure
// is in ns for each operation, unless bench/rows.lua names another unit.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
)

// rows is filled by the files beside this one, one file per kind of work.
var rows = []struct {
	name string
	run  func()
}{
	{"W1", withCancel},
	{"W2.idle", withTimeoutIdle},
	{"W2.armed", withTimeoutArmed},
	{"W2b", withTimeoutParked},
	{"W3.idle", chainIdle},
	{"W3.armed", chainArmed},
	{"W4.idle", wideIdle},
	{"W4.armed", wideArmed},
	{"W5", errLive},
	{"W6", value},
	{"W7", groupOfOne},
	{"W8.closures", groupClosures},
	{"W8.args", groupArguments},
	{"W8b", groupParked},
	{"W9", parked},
	{"W9g", pause},
	{"W10.idle", pendingIdle},
	{"W10.armed", pendingArmed},
}

func main() {
	// The peer of one Lua state is one core; pinning alone does not tell the
	// scheduler so where the affinity mask was read before it was set.
	runtime.GOMAXPROCS(1)
	if len(os.Args) < 2 {
		fail("usage: peer list | ROW [SCALE] | serve PORT")
	}
	if os.Args[1] == "list" {
		for _, row := range rows {
			fmt.Println(row.name)
		}
		return
	}
	if os.Args[1] == "serve" {
		serve(os.Args[2])
	}
	if len(os.Args) > 2 {
		readScale(os.Args[2])
	}
	for _, row := range rows {
		if row.name == os.Args[1] {
			row.run()
			return
		}
	}
	fail("no row " + os.Args[1])
}

func readScale(text string) {
	parsed, err := strconv.ParseFloat(text, 64)
	if err != nil || parsed <= 0 {
		fail("SCALE is a positive number, not " + text)
	}
	scale = parsed
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}

// liveParent is the parent of every row: one that can be cancelled. Under
// Background itself Go links nothing, which would flatter it.
func liveParent() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}
