// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

var scale = 1.0

// scaled is n operations at the scale asked for, at least one.
func scaled(n int) int {
	return max(1, int(float64(n)*scale))
}

// perOp prints the time of one operation, of n in a row. The collector runs as
// it likes: what it costs belongs to the figure.
func perOp(name string, n int, work func(n int)) {
	n = scaled(n)
	work(max(1, n/10)) // warm: pages touched, the collector's pace found
	start := processorTime()
	work(n)
	printRow(name, processorTime()-start, n)
}

// phases adds up the time of the steps of a piece of work that alternate, by
// the name of the row that each belongs to.
type phases struct {
	names []string
	spent map[string]time.Duration
}

func newPhases(names ...string) *phases {
	return &phases{names, make(map[string]time.Duration)}
}

func (p *phases) time(name string, step func()) {
	start := processorTime()
	step()
	p.spent[name] += processorTime() - start
}

func (p *phases) print(ops int) {
	for _, name := range p.names {
		printRow(name, p.spent[name], ops)
	}
}

func printRow(name string, spent time.Duration, ops int) {
	fmt.Printf("%s %.2f\n", name, float64(spent.Nanoseconds())/float64(ops))
}

// memory is what lives on the heap, after a collection, and what the process
// holds of the machine.
type memory struct{ live, resident int64 }

func readMemory() memory {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return memory{int64(stats.HeapAlloc), residentBytes()}
}

// residentBytes is 0 where there is no /proc.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}
