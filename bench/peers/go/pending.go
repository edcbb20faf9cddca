// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"time"
)

const pendingTimeouts = 1_000_000

func pendingIdle() {
	pending("W10.idle", func(ctx context.Context, i int) (stop func() bool) { return nil })
}

// pendingArmed has a function waiting on each, taken back before the cancel:
// the request ended in time.
func pendingArmed() {
	never := func() { panic("stopped before it was due") }
	pending("W10.armed", func(ctx context.Context, i int) (stop func() bool) {
		return context.AfterFunc(ctx, never)
	})
}

// pending keeps what a program with a million open requests keeps: context,
// cancel and stop. The arrays that hold them are made before the first reading
// of the memory, and so are not part of the bytes.
func pending(name string, arm func(ctx context.Context, i int) (stop func() bool)) {
	n := scaled(pendingTimeouts)
	contexts := make([]context.Context, n)
	cancels := make([]context.CancelFunc, n)
	stops := make([]func() bool, n)
	touch(contexts, cancels, stops)
	parent, cancelParent := liveParent()
	defer cancelParent()

	before := readMemory()
	start := processorTime()
	for i := range contexts {
		contexts[i], cancels[i] = context.WithTimeout(parent, timeoutOf(i))
		stops[i] = arm(contexts[i], i)
	}
	spent := processorTime() - start
	after := readMemory()
	start = processorTime()
	for i, cancel := range cancels {
		if stops[i] != nil {
			stops[i]()
		}
		cancel()
	}
	spent += processorTime() - start

	perContext := func(bytes int64) int64 { return bytes / int64(n) }
	fmt.Printf("%s %.2f %d %d\n", name, float64(spent.Nanoseconds())/float64(n),
		perContext(after.live-before.live), perContext(after.resident-before.resident))
}

// touch makes the arrays resident before the memory is read.
func touch(contexts []context.Context, cancels []context.CancelFunc, stops []func() bool) {
	for i := range contexts {
		contexts[i], cancels[i], stops[i] = context.Background(), func() {}, nil
	}
}

// timeoutOf spreads the deadlines over a minute, in no order, as requests of
// different kinds do; equal ones would spare a heap its work. None comes due.
func timeoutOf(i int) time.Duration {
	return time.Minute + time.Duration(i*7919%60_000)*time.Millisecond
}
