// The thread sanitizer does not see how Swift's Mutex changes hands when others wait for it, nor that a continuation was
// resumed before its task came to wait for it: libraries that are not instrumented do that. In the sanitizer's builds
// these stand before the libraries' functions and tell it, as `recv` stands before the C library's.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define AWAIT "swift_continuation_await"
#define OF_SWIFT __attribute__((swiftcall, visibility("default")))
#define OF_TASKS __attribute__((swiftasynccall, visibility("default"), disable_sanitizer_instrumentation))
#define CONTEXT __attribute__((swift_async_context)) void *context
#define SELF __attribute__((swift_context)) void *mutex

void __tsan_acquire(void *address);
void __tsan_release(void *address);

__attribute__((swiftcall)) void *swift_task_getCurrent(void);

OF_SWIFT void sluice_lock(uint32_t thread, SELF) __asm__(LOCK);
OF_SWIFT void sluice_unlock(SELF) __asm__(UNLOCK);
struct continuation;
OF_TASKS void sluice_await(struct continuation *context) __asm__(AWAIT);
OF_TASKS void sluice_resumed(CONTEXT);

OF_SWIFT void sluice_lock(uint32_t thread, SELF) {
    static _Atomic(void *) found;
    void *next = found;
    if (!next) found = next = dlsym(RTLD_NEXT, LOCK);
    ((__typeof__(&sluice_lock))next)(thread, mutex);
    __tsan_acquire(mutex);
}

OF_SWIFT void sluice_unlock(SELF) {
    static _Atomic(void *) found;
    void *next = found;
    if (!next) found = next = dlsym(RTLD_NEXT, UNLOCK);
    __tsan_release(mutex);
    ((__typeof__(&sluice_unlock))next)(mutex);
}

// A continuation's context: the runtime's ContinuationAsyncContext, as far as it matters here.
struct continuation {
    void *parent;
    void (*resume)(void);
    // The lowest bits are used.
    uintptr_t flags;
};

// Whoever resumes releases the task. One that waits for it already acquires that when it is run again; one that comes
// later just goes on, so what it goes on with acquires it first. Where that was is kept in the flags.
OF_TASKS void sluice_await(struct continuation *context) {
    static _Atomic(void *) found;
    void *next = found;
    if (!next) found = next = dlsym(RTLD_NEXT, AWAIT);
    context->flags |= (uintptr_t)context->resume << 16;
    context->resume = (void (*)(void))sluice_resumed;
    __attribute__((musttail)) return ((__typeof__(&sluice_await))next)(context);
}

OF_TASKS void sluice_resumed(CONTEXT) {
    void *resume = (void *)(((struct continuation *)context)->flags >> 16);
    __tsan_acquire(swift_task_getCurrent());
    __attribute__((musttail)) return ((__typeof__(&sluice_resumed))resume)(context);
}
#endif
#endif
