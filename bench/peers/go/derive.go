// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"runtime"
	"sync"
	"time"
)

const requestTimeout = 10 * time.Second

func withCancel() {
	parent, cancelParent := liveParent()
	defer cancelParent()
	perOp("W1", 2_000_000, func(n int) {
		for range n {
			_, cancel := context.WithCancel(parent)
			cancel()
		}
	})
}

// Go links the child and starts its timer at once, so "idle" only means that
// the program has not asked for Done.
func withTimeoutIdle() {
	parent, cancelParent := liveParent()
	defer cancelParent()
	perOp("W2.idle", 1_000_000, func(n int) {
		for range n {
			_, cancel := context.WithTimeout(parent, requestTimeout)
			cancel()
		}
	})
}

func withTimeoutArmed() {
	parent, cancelParent := liveParent()
	defer cancelParent()
	never := func() { panic("stopped before it was due") }
	perOp("W2.armed", 1_000_000, func(n int) {
		for range n {
			ctx, cancel := context.WithTimeout(parent, requestTimeout)
			stop := context.AfterFunc(ctx, never)
			stop()
			cancel()
		}
	})
}

func withTimeoutParked() {
	parent, cancelParent := liveParent()
	defer cancelParent()
	perOp("W2b", 500_000, func(n int) {
		var join sync.WaitGroup
		parked := 0
		for i := range n {
			ctx, cancel := context.WithTimeout(parent, requestTimeout)
			join.Add(1)
			go func() {
				parked++
				<-ctx.Done()
				join.Done()
			}()
			for parked != i+1 { // once, nearly always: the scheduler may pick this one again
				runtime.Gosched()
			}
			cancel()
			join.Wait()
		}
	})
}
