/* SPDX-License-Identifier: MIT */
/* ctx.h needs nothing before it, and may come twice. */
#include <ctx/ctx.h>

#include <ctx/ctx.h>

#include "harness.h"

/* Bindings keep these numbers and sizes in other languages. */
TEST(the_codes_are_what_they_were) {
  ASSERT_EQ(CTX_CANCELED, -1);
  ASSERT_EQ(CTX_DEADLINE_EXCEEDED, -2);
  ASSERT_EQ(CTX_ENOMEM, -3);
  ASSERT_EQ(CTX_ECLOSED, -4);
  ASSERT_EQ(CTX_NEVER, UINT64_MAX);
}

#define KNOWN(name, code, text) ASSERT_STR_EQ(ctx_strerror(CTX_##name), text);
TEST(each_code_has_a_text_of_its_own) {
  CTX_ERRNO_MAP(KNOWN);
}
#undef KNOWN

TEST(the_library_is_the_one_that_the_headers_are_of) {
  ASSERT_EQ(ctx_version(), CTX_VERSION_HEX);
  unsigned hex = CTX_VERSION_MAJOR << 16 | CTX_VERSION_MINOR << 8 | CTX_VERSION_PATCH;
  ASSERT_EQ(CTX_VERSION_HEX, hex);
}
