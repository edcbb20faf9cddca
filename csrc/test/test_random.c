/* SPDX-License-Identifier: MIT */
/* Random trees and random operations against a simple model of contexts. The seed is in
 * every failure; `test_random SEED` runs it again. */
#include "random.h"

TEST(the_core_agrees_with_a_naive_model) {
  unsigned rounds = test_rounds(4000);
  uint64_t seeds = test_seed;
  for (unsigned i = 0; i < rounds; i++) {
    /* The first is the seed itself, so that a failure can be had again at once. */
    machine_play(i ? test_random(&seeds) : test_seed, 150, 0, false);
    ASSERT_EQ(memory.bytes, 0);
    ASSERT_EQ(reasons_held, 0);
  }
}
