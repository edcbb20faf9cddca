/* SPDX-License-Identifier: MIT */
#include "task/alarm.h"

#include "task/record.h"
#include "task/sched.h"

enum { SPARES = 1024 };

static void on_alarm(ctx_timer_t* timer) {
  lctx_wake(LCTX_CONTAINER(timer, lctx_alarm, timer)->t, LCTX_DUE);
}

static void* alarm_memory(lctx_state* S, void* block, size_t old_size, size_t new_size) {
  void* data;
  lua_Alloc alloc = lua_getallocf(S->main, &data);
  return alloc(data, block, old_size, new_size);
}

static lctx_alarm* take_alarm(lctx_state* S) {
  lctx_alarm* alarm = S->alarms;
  if (alarm == NULL) return (lctx_alarm*)alarm_memory(S, NULL, 0, sizeof *alarm);
  S->alarms = alarm->next;
  S->spare_alarms--;
  return alarm;
}

static void give_back_alarm(lctx_state* S, lctx_alarm* alarm) {
  if (S->closed || S->spare_alarms == SPARES) {
    alarm_memory(S, alarm, sizeof *alarm, 0);
    return;
  }
  alarm->next = S->alarms;
  S->alarms = alarm;
  S->spare_alarms++;
}

int lctx_arm(lctx_task* t, uint64_t due_ns) {
  lctx_state* S = t->S;
  lctx_alarm* alarm = take_alarm(S);
  if (alarm == NULL) return CTX_ENOMEM;
  int err = ctx_timer_start(&S->tree, &alarm->timer, due_ns, on_alarm);
  if (err != 0) {
    give_back_alarm(S, alarm);
    return err;
  }
  alarm->t = t;
  t->alarm = alarm;
  return 0;
}

void lctx_disarm(lctx_task* t) {
  lctx_alarm* alarm = t->alarm;
  if (alarm == NULL) return;
  t->alarm = NULL;
  (void)ctx_timer_stop(&alarm->timer);
  give_back_alarm(t->S, alarm);
}

void lctx_close_alarms(lctx_state* S) {
  while (S->alarms != NULL) alarm_memory(S, take_alarm(S), sizeof *S->alarms, 0);
}
