// The thread sanitizer does not see how Swift's Mutex changes hands when others wait for it: a library that is not
// instrumented does that. In the sanitizer's builds these stand before the library's functions and tell it, as `recv`
// stands before the C library's.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define OF_SWIFT __attribute__((swiftcall, visibility("default")))
#define SELF __attribute__((swift_context)) void *mutex

void __tsan_acquire(void *address);
void __tsan_release(void *address);

OF_SWIFT void sluice_lock(uint32_t thread, SELF) __asm__(LOCK);
OF_SWIFT void sluice_unlock(SELF) __asm__(UNLOCK);

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
#endif
#endif
