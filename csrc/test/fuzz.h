/* SPDX-License-Identifier: MIT */
#pragma once

/* Shared by fuzz programs, fuzz_*.c, each of which has its LLVMFuzzerTestOneInput, SEEDS and FUZZ_MAIN.
 *
 * With clang's libFuzzer (CTX_FUZZ, ./dev fuzz) it is a fuzz target; else a program that tries its
 * seeds and some mutations of them: [seed]. --seeds FOLDER writes the seeds to files, for libFuzzer. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) fuzz_check(condition, #condition, __FILE__, __LINE__)

static inline void fuzz_check(int ok, const char* what, const char* file, int line) {
  if (ok) return;
  (void)fprintf(stderr, "%s:%d: %s\n", file, line, what);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

/* The numbers that say where an input is cut: 1 at every byte, else the seeds of a random choice. */
enum { FUZZ_CUTS = 3 };

static inline void fuzz_cuts(uint32_t cuts[FUZZ_CUTS], const uint8_t* data, size_t size) {
  uint32_t sum = 2;
  for (size_t i = 0; i < size; i++) sum = sum * 31 + data[i];
  cuts[0] = 1;
  cuts[1] = sum | 2;
  cuts[2] = (sum * 7) | 2;
}

/* How many of the bytes that are left make the next piece: all of them if *cuts is 0. */
static inline size_t fuzz_piece(uint32_t* cuts, size_t left) {
  if (*cuts <= 1) return *cuts == 1 ? 1 : left;
  *cuts = *cuts * 1664525 + 1013904223;
  size_t wanted = 1 + (*cuts >> 16) % (*cuts & 0x8000 ? 4 : 64);
  return wanted < left ? wanted : left;
}

#ifdef CTX_FUZZ

#define FUZZ_MAIN(name, seeds, runs) _Static_assert(sizeof(seeds) > 0, name);

#else

struct fuzz {
  const char* name;
  const char* const* seeds;
  size_t count;
  uint32_t state;
};

static inline void fuzz_write_seeds(const struct fuzz* fuzz, const char* folder) {
  for (size_t i = 0; i < fuzz->count; i++) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s-%zu", folder, fuzz->name, i);
    FILE* file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(fuzz->seeds[i], 1, strlen(fuzz->seeds[i]), file) == strlen(fuzz->seeds[i]));
    CHECK(fclose(file) == 0);
  }
}

static inline size_t fuzz_below(struct fuzz* fuzz, size_t n) {
  fuzz->state = fuzz->state * 1664525 + 1013904223;
  return (fuzz->state >> 8) % n;
}

/* Half of the time a seed, else one and a piece of another; with some bytes changed, taken away or
 * put in. */
static inline size_t fuzz_mutate(struct fuzz* fuzz, uint8_t* out, size_t capacity) {
  static const char KEY[] = "\r\n :,;=0123456789abcfFxX\t\v\0\x7f\xff*/#?%\"-";
  size_t size = 0;
  for (size_t i = fuzz_below(fuzz, 2) + 1; i > 0; i--) {
    const char* seed = fuzz->seeds[fuzz_below(fuzz, fuzz->count)];
    size_t length = strlen(seed);
    size_t from = i > 1 || fuzz_below(fuzz, 3) ? 0 : fuzz_below(fuzz, length);
    if (size + length - from > capacity) break;
    memcpy(out + size, seed + from, length - from);
    size += length - from;
  }
  for (size_t i = fuzz_below(fuzz, 5); i > 0 && size > 1; i--) {
    size_t at = fuzz_below(fuzz, size);
    uint8_t byte = (uint8_t)KEY[fuzz_below(fuzz, sizeof KEY - 1)];
    switch (fuzz_below(fuzz, 3)) {
    case 0: out[at] = byte; break;
    case 1: memmove(out + at, out + at + 1, --size - at); break;
    default:
      if (size == capacity) break;
      memmove(out + at + 1, out + at, size++ - at);
      out[at] = byte;
    }
  }
  return size;
}

static inline void fuzz_run(struct fuzz* fuzz, const char* seed, int runs) {
  fuzz->state = (uint32_t)strtoul(seed, NULL, 10);
  (void)printf("seed %u\n", fuzz->state);
  (void)fflush(stdout);
  for (size_t i = 0; i < fuzz->count; i++)
    (void)LLVMFuzzerTestOneInput((const uint8_t*)fuzz->seeds[i], strlen(fuzz->seeds[i]));
  for (int i = 0; i < runs; i++) {
    uint8_t bytes[1024];
    size_t size = fuzz_mutate(fuzz, bytes, sizeof bytes);
    (void)LLVMFuzzerTestOneInput(bytes, size);
  }
}

#define FUZZ_MAIN(name, seeds, runs)                                                               \
  int main(int argc, char** argv) {                                                                \
    struct fuzz fuzz = {name, seeds, sizeof(seeds) / sizeof *(seeds), 1};                          \
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {                                            \
      fuzz_write_seeds(&fuzz, argv[2]);                                                            \
    } else {                                                                                       \
      fuzz_run(&fuzz, argc > 1 ? argv[1] : "1", runs);                                             \
    }                                                                                              \
    return 0;                                                                                      \
  }

#endif
