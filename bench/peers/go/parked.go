// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	parkedTasks     = 1_000_000
	parkedBeside    = 100_000
	pauseIterations = 10_000_000
	smallBytes      = 64
)

// parked: a million tasks on one context, which is cancelled when all wait.
func parked() {
	n := scaled(parkedTasks)
	ctx, cancel := liveParent()
	var join sync.WaitGroup
	before := readMemory()

	start := processorTime()
	park(ctx, n, &join)
	spent := processorTime() - start
	after := readMemory()
	perTask := func(bytes int64) int64 { return bytes / int64(n) }
	fmt.Printf("W9.park %.2f %d %d\n", float64(spent.Nanoseconds())/float64(n),
		perTask(after.live-before.live), perTask(after.resident-before.resident))

	start = processorTime()
	cancel()
	join.Wait()
	printRow("W9.drain", processorTime()-start, n)
	fmt.Printf("W9.peak %.0f\n", float64(peakBytes())/(1<<20))
}

// park returns when all n have run as far as their wait.
func park(ctx context.Context, n int, join *sync.WaitGroup) {
	waiting := 0
	join.Add(n)
	for range n {
		go func() {
			waiting++
			<-ctx.Done()
			join.Done()
		}()
	}
	for waiting < n {
		runtime.Gosched()
	}
}

// smallSink keeps the compiler from taking the allocation away.
var smallSink []byte

// pause is the longest time between two turns of a loop that allocates, on the
// clock of the process's own processor time, so that it does not count what the
// machine does meanwhile for others, and on that of the wall.
func pause() {
	ctx, cancel := liveParent()
	var join sync.WaitGroup
	park(ctx, scaled(parkedBeside), &join)
	runtime.GC()

	var worst, worstWall time.Duration
	wall, before := time.Now(), processorTime()
	for range scaled(pauseIterations) {
		smallSink = make([]byte, smallBytes)
		now, nowWall := processorTime(), time.Now()
		worst = max(worst, now-before)
		worstWall = max(worstWall, nowWall.Sub(wall))
		before, wall = now, nowWall
	}
	cancel()
	join.Wait()
	fmt.Printf("W9g %.3f\n", worst.Seconds()*1e3)
	fmt.Printf("W9g.wall %.3f\n", worstWall.Seconds()*1e3)
}

// processorTime is what all threads of the process have used, the collector's
// included.
func processorTime() time.Duration {
	const clockProcess = 2
	var t syscall.Timespec
	// Raw: the scheduler must not take the call for a chance to switch.
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcess, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}

// peakBytes is the most that the process has ever held of the machine; 0 where
// there is no /proc.
func peakBytes() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kilobytes int64
	fmt.Sscan(rest, &kilobytes)
	return kilobytes << 10
}
