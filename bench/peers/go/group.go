// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"
)

const (
	groupTasks = 10
	// The task that fails: neither the first to run nor the last.
	failing = 5
)

var errTask = errors.New("the task failed")

func groupOfOne() {
	parent, cancelParent := liveParent()
	defer cancelParent()
	task := func() error { return nil }
	perOp("W7", 1_000_000, func(n int) {
		for range n {
			group, _ := errgroup.WithContext(parent)
			group.Go(task)
			mustBe(nil, group.Wait())
		}
	})
}

// yielding fails after its turn, or says whether its group has meanwhile.
func yielding(ctx context.Context, i int) error {
	runtime.Gosched()
	if i == failing {
		return errTask
	}
	return ctx.Err()
}

// groupClosures has the body of each task in a closure of its own.
func groupClosures() {
	fanOut("W8.closures", func(ctx context.Context, i int) func() error {
		return func() error {
			runtime.Gosched()
			if i == failing {
				return errTask
			}
			return ctx.Err()
		}
	})
}

// groupArguments has one function for all tasks. A group takes no arguments for
// it, so in Go that too is a closure, around the call.
func groupArguments() {
	fanOut("W8.args", func(ctx context.Context, i int) func() error {
		return func() error { return yielding(ctx, i) }
	})
}

// groupParked has the other tasks wait until the failure cancels them.
func groupParked() {
	fanOut("W8b", func(ctx context.Context, i int) func() error {
		return func() error {
			runtime.Gosched()
			if i == failing {
				return errTask
			}
			<-ctx.Done()
			return ctx.Err()
		}
	})
}

func fanOut(name string, task func(ctx context.Context, i int) func() error) {
	parent, cancelParent := liveParent()
	defer cancelParent()
	perOp(name, 200_000, func(n int) {
		for range n {
			group, ctx := errgroup.WithContext(parent)
			for i := range groupTasks {
				group.Go(task(ctx, i))
			}
			mustBe(errTask, group.Wait())
		}
	})
}

func mustBe(want, got error) {
	if got != want {
		panic(got)
	}
}
