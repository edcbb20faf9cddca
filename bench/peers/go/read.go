// SPDX-License-Identifier: MIT

package main

import "context"

const (
	reads     = 10_000_000
	fewLayers = 10
	layers    = 100
)

// sinks keep the compiler from dropping a read that nobody uses.
var (
	errSink   error
	valueSink any
)

func errLive() {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout*1000)
	defer cancel()
	perOp("W5", reads, func(n int) {
		for range n {
			errSink = ctx.Err()
		}
	})
}

// key is compared by address, the fastest kind there is in Go.
type key struct{ name string }

func value() {
	keys := make([]*key, layers)
	for i := range keys {
		keys[i] = &key{"key"}
	}
	parent, cancelParent := liveParent()
	defer cancelParent()
	few, many := layered(parent, keys[:fewLayers]), layered(parent, keys)

	lookUp("W6.10", reads, few, keys[0])
	lookUp("W6.miss", reads, few, &key{"absent"})
	lookUp("W6.100", reads/10, many, keys[0])
	lookUp("W6.leaf", reads, few, keys[fewLayers-1])
	perOp("W6.derive", reads/10, func(n int) {
		for range n {
			valueSink = context.WithValue(parent, keys[0], true)
		}
	})
}

func layered(ctx context.Context, keys []*key) context.Context {
	for _, k := range keys {
		ctx = context.WithValue(ctx, k, true)
	}
	return ctx
}

func lookUp(name string, n int, ctx context.Context, k *key) {
	perOp(name, n, func(n int) {
		for range n {
			valueSink = ctx.Value(k)
		}
	})
}
