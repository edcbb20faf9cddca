// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"net/http"
	"time"
)

// serve answers each request under a deadline of its own: W11.
func serve(port string) {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if ctx.Err() != nil {
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.Write([]byte("hello, world\n"))
	})
	fail(http.ListenAndServe("127.0.0.1:"+port, nil).Error())
}
