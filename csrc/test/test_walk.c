/* SPDX-License-Identifier: MIT */
/* Reports: the counters, and the walk over the linked contexts. */
#include "fake.h"

/* The result of a walk as text: a digit for the depth, and the context's name. */
typedef struct picture_s {
  char text[128];
  unsigned stop; /* ends the walk after so many; 0: never */
  unsigned met;
} picture_t;

static bool draw(const ctx_t* c, unsigned depth, void* arg) {
  picture_t* picture = arg;
  size_t length = strlen(picture->text);
  snprintf(picture->text + length, sizeof picture->text - length, "%u%s ", depth,
           ctx_name(c) ? ctx_name(c) : "?");
  return ++picture->met != picture->stop;
}

static const char* walk(fake_t* f, unsigned stop) {
  static picture_t picture;
  picture = (picture_t){.stop = stop};
  ctx_walk(&f->tree, draw, &picture);
  return picture.text;
}

static void make(ctx_t* c, ctx_t* parent, const char* name) {
  ctx_with_cancel(c, parent);
  ctx_set_name(c, name);
}

static void name_roots(fake_t* f) {
  ctx_set_name(f->root, "background");
  ctx_set_name(ctx_todo(&f->tree), "todo");
}

/* background ── a ── b ── c, and d beside b; todo ── e; and a tree of its own under g */
TEST(it_shows_what_is_linked_parents_first) {
  fake_t f;
  fake_start(&f);
  name_roots(&f);
  ctx_t a, b, c, d, e, g, h;
  probe_t p[4] = {0};
  make(&a, f.root, "a");
  make(&b, &a, "b");
  make(&c, &b, "c");
  make(&d, &a, "d");
  make(&e, ctx_todo(&f.tree), "e");
  ctx_without_cancel(&g, &c);
  ctx_set_name(&g, "g");
  make(&h, &g, "h");
  ASSERT_STR_EQ(walk(&f, 0), "0background 0todo ");
  ctx_t* watched[] = {&d, &c, &e, &h};
  for (int i = 0; i < 4; i++) probe_watch(&f, &p[i], watched[i], 'p');
  ASSERT_STR_EQ(walk(&f, 0), "0background 1a 2d 2b 3c 0todo 1e 0g 1h ");
  ASSERT_EQ(fake_counters(&f).linked, 7);
  ASSERT(ctx_unwatch(&p[0].w));
  ASSERT_STR_EQ(walk(&f, 0), "0background 1a 2b 3c 0todo 1e 0g 1h ");
  ctx_cancel(&b, NULL);
  ASSERT_STR_EQ(walk(&f, 0), "0background 0todo 1e 0g 1h ");
  ctx_cancel(&h, NULL);
  ctx_cancel(&e, NULL);
  ASSERT_STR_EQ(walk(&f, 0), "0background 0todo ");
  fake_stop(&f);
}

TEST(it_ends_when_it_is_told_to) {
  fake_t f;
  fake_start(&f);
  name_roots(&f);
  ctx_t a, b, c;
  probe_t p[3] = {0};
  make(&a, f.root, "a");
  make(&b, ctx_todo(&f.tree), "b");
  ctx_without_cancel(&c, &b);
  ctx_set_name(&c, "c");
  ctx_t* all[] = {&a, &b, &c};
  for (int i = 0; i < 3; i++) probe_watch(&f, &p[i], all[i], 'p');
  ASSERT_STR_EQ(walk(&f, 1), "0background ");
  ASSERT_STR_EQ(walk(&f, 2), "0background 1a ");
  ASSERT_STR_EQ(walk(&f, 3), "0background 1a 0todo ");
  ASSERT_STR_EQ(walk(&f, 4), "0background 1a 0todo 1b ");
  ASSERT_STR_EQ(walk(&f, 5), "0background 1a 0todo 1b 0c ");
  ASSERT_STR_EQ(walk(&f, 0), "0background 1a 0todo 1b 0c ");
  fake_stop(&f);
}

/* An any is a root, its sources are there because of it, and its arms are its own affair. */
TEST(it_shows_an_any_and_its_sources_but_no_arms_or_flags) {
  fake_t f;
  fake_start(&f);
  name_roots(&f);
  ctx_t a, b, any, arms[2];
  ctx_t* sources[] = {&a, &b};
  make(&a, f.root, "a");
  make(&b, &a, "b");
  ASSERT_EQ(ctx_any(&any, arms, sources, 2), 0);
  ctx_set_name(&any, "any");
  ctx_flag_t* flag = ctx_share(&b);
  ASSERT_STR_EQ(walk(&f, 0), "0background 1a 2b 0todo 0any ");
  ASSERT_EQ(fake_counters(&f).linked, 3);
  ctx_release(&any);
  ASSERT_STR_EQ(walk(&f, 0), "0background 1a 2b 0todo ");
  ctx_flag_release(flag);
  fake_run(&f);
  ASSERT_STR_EQ(walk(&f, 0), "0background 0todo ");
  fake_stop(&f);
}

TEST(the_counters_count_what_was_made_and_how_it_ended) {
  fake_t f;
  fake_start(&f);
  ctx_t a, b, c, d, any, arms[2];
  ctx_t* sources[] = {&a, &b};
  ctx_with_cancel(&a, f.root);
  ctx_with_deadline(&b, f.root, f.now_ns + MS, NULL);
  ctx_without_cancel(&c, f.root);
  ASSERT_EQ(ctx_any(&any, arms, sources, 2), 0);
  ctx_with_cancel(&d, &any);
  ASSERT_EQ(fake_counters(&f).derived, 5);
  fake_advance(&f, MS);
  ASSERT_EQ(fake_counters(&f).expired, 2); /* b and any; d was not asked */
  ASSERT_EQ(ctx_err(&d), CTX_DEADLINE_EXCEEDED);
  ASSERT_EQ(fake_counters(&f).expired, 3);
  ctx_cancel(&a, NULL);
  ctx_cancel(&d, NULL);
  ASSERT_EQ(fake_counters(&f).canceled, 1);
  ASSERT_EQ(fake_counters(&f).linked, 0);
  fake_stop(&f);
}
