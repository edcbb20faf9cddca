/* SPDX-License-Identifier: MIT */
#pragma once

/* A test program is one test_*.c that includes this: TEST(a_sentence) { ... } for each law, and
 * the main below. Run without arguments it runs them all; a word runs those whose names contain
 * it; a number is the seed of random tests.
 *
 * All of it is in headers: each program is one translation unit beside the core's, so that one
 * line builds it by hand: cc -Icsrc/include csrc/core/?*.c csrc/test/test_tree.c -lpthread */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Not assert(): no build may remove it, and it prints what it saw. */
#define ASSERT(condition)                                                                          \
  do {                                                                                             \
    if (!(condition)) test_fail(__FILE__, __LINE__, "%s", #condition);                             \
  } while (0)

/* Any two integers; each argument is evaluated once. */
#define ASSERT_EQ(a, b) ASSERT_INT(a, ==, b)
#define ASSERT_INT(a, relation, b)                                                                 \
  do {                                                                                             \
    intmax_t a_ = (intmax_t)(a), b_ = (intmax_t)(b);                                               \
    if (!(a_ relation b_))                                                                         \
      test_fail(__FILE__, __LINE__, "%s " #relation " %s: %jd against %jd", #a, #b, a_, b_);       \
  } while (0)

#define ASSERT_PTR_EQ(a, b)                                                                        \
  do {                                                                                             \
    const void *a_ = (a), *b_ = (b);                                                               \
    if (a_ != b_)                                                                                  \
      test_fail(__FILE__, __LINE__, "%s == %s: %p against %p", #a, #b, (void*)(uintptr_t)a_,       \
                (void*)(uintptr_t)b_);                                                             \
  } while (0)

#define ASSERT_STR_EQ(a, b)                                                                        \
  do {                                                                                             \
    const char *a_ = (a), *b_ = (b);                                                               \
    if (strcmp(a_, b_) != 0)                                                                       \
      test_fail(__FILE__, __LINE__, "%s == %s: \"%s\" against \"%s\"", #a, #b, a_, b_);            \
  } while (0)

/* Registered by a constructor, so that a test stands in one place only. */
#define TEST(sentence)                                                                             \
  static void sentence(void);                                                                      \
  __attribute__((constructor)) static void sentence##_is_listed(void) {                            \
    static test_t test = {#sentence, sentence, NULL};                                              \
    test_list(&test);                                                                              \
  }                                                                                                \
  static void sentence(void)

/* The rest is for other headers: static inline, so that no program warns of what it leaves out. */

typedef struct test_s {
  const char* name;
  void (*run)(void);
  struct test_s* next;
} test_t;

static test_t *test_first, **test_last = &test_first;
static const test_t* test_current;
static char test_about[160];       /* what test_note said: the seed, the step */
static uint64_t test_seed;         /* from argv or the time */
static void (*test_balance)(void); /* run after each test: finds what it left behind */

static inline void test_list(test_t* test) {
  *test_last = test;
  test_last = &test->next;
}

/* Goes into the message of every failure from here to the end of the test. */
__attribute__((format(printf, 1, 2))) static inline void test_note(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(test_about, sizeof test_about, format, arguments);
  va_end(arguments);
}

/* Aborts rather than exits: a debugger, ASan and valgrind then show the way here. */
__attribute__((format(printf, 3, 4), noreturn)) static inline void
test_fail(const char* file, int line, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s:%d: %s: failed: ", file, line, test_current ? test_current->name : "?");
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, test_about[0] ? " (%s)\n" : "%s\n", test_about);
  abort();
}

/* How often a random test goes round: CTX_TEST_ROUNDS for slow tools, else `usual`. */
static inline unsigned test_rounds(unsigned usual) {
  const char* text = getenv("CTX_TEST_ROUNDS");
  return text ? (unsigned)strtoul(text, NULL, 10) : usual;
}

/* A small generator of our own (splitmix64): the same numbers from a seed on every machine. */
static inline uint64_t test_random(uint64_t* state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

int main(int argc, char** argv) {
  const char* word = "";
  test_seed = (uint64_t)time(NULL);
  for (int i = 1; i < argc; i++) {
    char* end;
    uint64_t number = strtoull(argv[i], &end, 10);
    if (*end == '\0')
      test_seed = number;
    else
      word = argv[i];
  }
  unsigned count = 0;
  for (test_current = test_first; test_current; test_current = test_current->next) {
    if (!strstr(test_current->name, word)) continue;
    test_about[0] = '\0';
    test_current->run();
    if (test_balance) test_balance();
    count++;
  }
  printf("%s: %u tests passed\n", argv[0], count);
  return count == 0;
}
