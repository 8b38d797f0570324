// What the Glibc module leaves out: epoll, eventfd and a bound for what libpq reads (and the thread id that glibc's
// pthread_self cannot give safely across an await, because it is marked const).
#pragma once

#include <stdint.h>

#if defined(__linux__)
#include <sys/epoll.h>

int sluice_epoll_create(void);
// Watches `descriptor`, level-triggered; `token` comes back with each event. Returns 0 or an errno.
int sluice_epoll_arm(int epoll, int descriptor, uint32_t events, uint64_t token, int first);
// Returns 0 or an errno.
int sluice_epoll_remove(int epoll, int descriptor);
int sluice_event_create(void);
void sluice_event_signal(int event);
void sluice_event_drain(int event);
// CLOCK_MONOTONIC in nanoseconds.
int64_t sluice_monotonic_nanoseconds(void);
// How long the calling thread has been running, in nanoseconds.
int64_t sluice_thread_nanoseconds(void);
// From here on this thread's `recv` reads at most so many bytes, of all sockets together, and then says EAGAIN.
void sluice_bound_reads(int64_t bytes);
// Takes the bound away. Returns what was left of it.
int64_t sluice_unbound_reads(void);
int sluice_thread_id(void);
// At most 15 characters; longer names are not set.
void sluice_name_this_thread(const char *name);
#endif
