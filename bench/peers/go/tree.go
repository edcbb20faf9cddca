// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"sync"
)

const (
	chainDepth = 100
	// Several chains are derived, then all are cancelled: one cancel is too
	// short for the clock. Few enough that the nodes stay in the cache.
	chainsPerBatch = 20
	chainBatches   = 500

	wideChildren = 100_000
	wideRounds   = 5
)

// chainIdle reads the leaf's error after the cancel, as the program would:
// only then has a cancellation arrived, in a library that carries it lazily.
func chainIdle() {
	chain("W3.idle", func(context.Context) {})
}

// chainArmed asks each leaf for its channel, as a waiter would.
func chainArmed() {
	chain("W3.armed", func(leaf context.Context) { leaf.Done() })
}

func chain(name string, arm func(leaf context.Context)) {
	batches := scaled(chainBatches)
	derive, cancel := name+".derive", name+".cancel"
	spent := newPhases(derive, cancel)
	var cancels [chainsPerBatch]context.CancelFunc
	var leaves [chainsPerBatch]context.Context
	for range batches {
		spent.time(derive, func() {
			for i := range leaves {
				leaves[i], cancels[i] = deriveChain()
				arm(leaves[i])
			}
		})
		spent.time(cancel, func() {
			for i := range leaves {
				cancels[i]()
				mustBeDone(leaves[i])
			}
		})
	}
	spent.print(batches * chainsPerBatch * chainDepth)
}

func deriveChain() (leaf context.Context, cancelRoot context.CancelFunc) {
	leaf, cancelRoot = context.WithCancel(context.Background())
	for range chainDepth - 1 {
		next, cancel := context.WithCancel(leaf)
		_ = cancel // the root's is enough
		leaf = next
	}
	return leaf, cancelRoot
}

// wideIdle asks every child for its error after the cancel, for the same
// reason as chainIdle.
func wideIdle() {
	spent := newPhases("W4.idle.derive", "W4.idle.cancel")
	wide(spent, "W4.idle", func(context.Context) {}, func(children []context.Context) {
		for _, child := range children {
			mustBeDone(child)
		}
	})
}

// wideArmed counts two things apart: W4.armed.cancel is the call to cancel
// alone, on children whose Done channel exists, so that cancel has something
// to close. W4.armed.run has a function waiting on each child, and lasts until
// the last has run.
func wideArmed() {
	spent := newPhases("W4.armed.derive", "W4.armed.cancel")
	wide(spent, "W4.armed",
		func(child context.Context) { child.Done() },
		func([]context.Context) {})
	wideRun()
}

func wide(spent *phases, name string, arm func(context.Context), after func([]context.Context)) {
	n := scaled(wideChildren)
	children := make([]context.Context, n)
	cancels := make([]context.CancelFunc, n)
	for range wideRounds {
		root, cancelRoot := liveParent()
		spent.time(name+".derive", func() {
			for i := range children {
				children[i], cancels[i] = context.WithCancel(root)
				arm(children[i])
			}
		})
		spent.time(name+".cancel", func() {
			cancelRoot()
			after(children)
		})
	}
	spent.print(wideRounds * n)
}

func wideRun() {
	n := scaled(wideChildren)
	spent := newPhases("W4.armed.run")
	children := make([]context.Context, n)
	cancels := make([]context.CancelFunc, n)
	var join sync.WaitGroup
	for range wideRounds {
		root, cancelRoot := liveParent()
		join.Add(n)
		for i := range children {
			children[i], cancels[i] = context.WithCancel(root)
			context.AfterFunc(children[i], join.Done)
		}
		spent.time("W4.armed.run", func() {
			cancelRoot()
			join.Wait()
		})
	}
	spent.print(wideRounds * n)
}

func mustBeDone(ctx context.Context) {
	if ctx.Err() == nil {
		panic("a cancelled context is live")
	}
}
