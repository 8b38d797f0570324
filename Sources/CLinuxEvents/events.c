#define _GNU_SOURCE
#include "CLinuxEvents.h"

#if defined(__linux__)
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int sluice_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int sluice_epoll_arm(int epoll, int descriptor, uint32_t events, uint64_t token, int first) {
    struct epoll_event event = {.events = events, .data = {.u64 = token}};
    int operation = first ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(epoll, operation, descriptor, &event) == 0) return 0;
    // libpq may have closed the descriptor and got the same number again: the kernel dropped the registration.
    if (errno == ENOENT && epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0) return 0;
    if (errno == EEXIST && epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) == 0) return 0;
    return errno;
}

int sluice_epoll_remove(int epoll, int descriptor) {
    struct epoll_event ignored = {0};
    return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &ignored) == 0 ? 0 : errno;
}

int sluice_event_create(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

void sluice_event_signal(int event) {
    uint64_t one = 1;
    ssize_t written = write(event, &one, sizeof one);
    (void)written;  // EAGAIN means that the counter is full, so the reader wakes up anyway.
}

void sluice_event_drain(int event) {
    uint64_t count;
    ssize_t got = read(event, &count, sizeof count);
    (void)got;
}

int64_t sluice_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t sluice_thread_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// What this thread may still read, in bytes; negative if that is not bounded.
static _Thread_local int64_t allowed_bytes = -1;

void sluice_bound_reads(int64_t bytes) { allowed_bytes = bytes; }

int64_t sluice_unbound_reads(void) {
    int64_t left = allowed_bytes;
    allowed_bytes = -1;
    return left;
}

// Stands before the C library's: the linker lets a shared library's calls come here as well, because the program comes
// first. There is no other way to have libpq stop reading (docs/decisions/0008).
__attribute__((visibility("default"))) ssize_t recv(int descriptor, void *bytes, size_t count, int flags) {
    if (allowed_bytes < 0) return recvfrom(descriptor, bytes, count, flags, NULL, NULL);
    if (allowed_bytes == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (count > (uint64_t)allowed_bytes) count = (size_t)allowed_bytes;
    ssize_t received = recvfrom(descriptor, bytes, count, flags, NULL, NULL);
    if (received > 0) allowed_bytes -= received;
    return received;
}

void sluice_name_this_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int sluice_thread_id(void) {
    static __thread int id;
    if (id == 0) id = (int)syscall(SYS_gettid);
    return id;
}
#endif
